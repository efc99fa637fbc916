"""`python -m mtag`."""

from mtag.cli.entry import main

main()

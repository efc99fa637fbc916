"""`python -m mtag`."""

from mtag.cli.app import main

main()

"""Decode files as a scan does, and do nothing with the samples: `python -m benchmarks.decode_only JOBS PATH...`.

Prints each file's name and length. It is what a scan's time is compared with.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtag.audio.decoders import Decoders
from mtag.constants import SAMPLE_RATE
from mtag.errors import FileError
from mtag.walk import find_files


def main() -> None:
    """Decode."""
    jobs, *paths = sys.argv[1:]
    files = [file for file in find_files(map(Path, paths)) if not isinstance(file, FileError)]
    with Decoders() as decoders, ThreadPoolExecutor(int(jobs)) as pool:

        def decode(file: Path) -> float:
            return sum(block.size for block in decoders.read_blocks(file)) / SAMPLE_RATE

        for file, seconds in zip(files, pool.map(decode, files), strict=True):
            print(f"{seconds:.2f} {file}", flush=True)


if __name__ == "__main__":
    main()

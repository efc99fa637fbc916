"""The ledger of files that could not be dealt with, beside the files that there are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mtag.catalog import Catalog, has_content
from mtag.errors import FileError


def only_failed(files: Iterable[Path | FileError], catalog: Catalog) -> list[Path | FileError]:
    """Those of some files that failed when they were last dealt with, and paths that are failures themselves."""
    failed = {failure.path for failure in catalog.failures()}
    return [file for file in files if isinstance(file, FileError) or Path(os.path.abspath(file)) in failed]


def forget_gone(paths: Iterable[Path], catalog: Catalog) -> None:
    """Forget the failures of files that were deleted or renamed under some paths.

    Those of a disk that is away stay: in its place there is no folder, or an empty one.
    """
    for path in paths:
        for failure in catalog.failures(path):
            if not os.path.lexists(failure.path) and has_content(failure.path.parent):
                catalog.forget_failure(failure.path)

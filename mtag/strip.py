"""Everything that mtag wrote, taken out of files again, whether or not a catalog remembers it."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path

from mtag import tagfile
from mtag.audio.decoders import Decoders
from mtag.catalog import Catalog
from mtag.errors import FileError
from mtag.recorder import Recorder
from mtag.restoring import RestoreOptions, guarded, refuse_if_linked, sorted_fields
from mtag.results import Restored, Status
from mtag.tagfile import Digest, Field
from mtag.walk import explain


def strip(
    files: Iterable[Path | FileError],
    catalog: Catalog | None,
    options: RestoreOptions,
    stop: threading.Event | None = None,
) -> Generator[Restored, None, None]:
    """Take everything out of files that mtag has written.

    Parameters
    ----------
    files
        From `find_files`.
    catalog
        Where there is one, this is a run that can be undone.
    options
        How to go about it.
    stop
        Once it is set no further file is begun, and the results end.

    Yields
    ------
    One result a file. Whatever happens to a file is its result; only trouble with the catalog raises.
    """
    with Recorder(catalog, "strip", options.arguments, options.version) as recorder, Decoders() as decoders:
        for file in files:
            if stop and stop.is_set():
                break
            if isinstance(file, FileError):
                yield Restored(file.path, Status.FAILED, error=file)
            else:
                yield guarded(file, partial(_strip, file, recorder, options, decoders.packet_digest))


def _strip(path: Path, recorder: Recorder, options: RestoreOptions, digest: Digest) -> Restored:
    if options.write:
        recorder.tidy(path)
    try:
        stat = os.stat(path)
    except OSError as error:
        raise explain(path, error) from error
    now = tagfile.read_fields(path)
    if now.before is None:
        return Restored(path, Status.UNCHANGED)
    fields = sorted_fields([field for field in Field if now.of(field) != now.untouched.of(field)])
    if not options.write:
        refuse_if_linked(path, stat, options)
        return Restored(path, Status.PREVIEW, fields)
    is_written = recorder.change(
        path,
        stat,
        lambda announce: tagfile.strip(
            path, digest, mtime=options.mtime, hardlinks=options.hardlinks, announce=announce
        ),
    )
    return Restored(path, Status.WRITTEN if is_written else Status.UNCHANGED, fields)

"""Results as the JSON objects that programs read; their keys are a contract."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mtag.errors import FileError
from mtag.results import Restored, ScanResult, Status, Summary, TagScore

if TYPE_CHECKING:
    from mtag.catalog import Run
    from mtag.catalog.scores import Heard

Record = Mapping[str, Any]

_UNDECODED = re.compile("[\udc80-\udcff]")  # how Python holds a byte of a name that it could not decode


def print_record(record: Record) -> None:
    """Write one line of JSON to standard output: UTF-8, whatever the locale and the names of files."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    typer.echo(line.encode("utf-8", "backslashreplace"), nl=False)


def legible(text: Path | str) -> str:
    r"""Text that is valid UTF-8: bytes of a file's name that are not become `\xff` and the like."""
    named = _UNDECODED.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", str(text))
    return named.encode("utf-8", "backslashreplace").decode()


def prediction_record(path: Path, heard: Heard | FileError, tags: tuple[TagScore, ...], model: str) -> Record:
    """What `mtag predict --json` prints of one track."""
    error = heard if isinstance(heard, FileError) else None
    return {
        "path": legible(path),
        "duration": None if isinstance(heard, FileError) else round(heard.duration, 3),
        "windows": None if isinstance(heard, FileError) else heard.n_windows,
        "tags": _tags(tags),
        "model": model,
        "error": _error(error),
    }


def result_record(result: ScanResult) -> Record:
    """What `mtag scan --json` prints of one file; mood and grouping only where there are any."""
    others = {"mood": result.moods, "grouping": result.groupings}
    return {
        "path": legible(result.path),
        "status": result.status.value,
        "genre": [legible(genre) for genre in result.genres],
        "genre_before": [legible(genre) for genre in result.own_genres],
        "comment": result.comment and legible(result.comment),
        **{key: [legible(value) for value in values] for key, values in others.items() if values},
        "tags": _tags(result.tags),
        "cached": result.cached,
        "error": _error(result.error),
    }


def restored_record(result: Restored) -> Record:
    """What `mtag undo --json` and `mtag strip --json` print of one file."""
    return {
        "path": legible(result.path),
        "status": result.status.value,
        "restored": [field.value for field in result.fields],
        "left": [field.value for field in result.left],
        "error": _error(result.error),
    }


def run_record(run: Run) -> Record:
    """What `mtag undo --json` prints of one run."""
    return {
        "run": run.id,
        "started": moment(run.started) if run.started else None,
        "finished": None if run.finished is None else moment(run.finished),
        "command": run.command,
        "files": run.n_files,
        "arguments": {name: value for name, value in run.asked.items() if name != "vocabulary"},
        "version": run.version,
    }


def moment(seconds: float) -> str:
    """A time as programs read it: ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def tally_record(summary: Summary, seconds: float, interrupted: bool) -> Record:
    """The last line of a command that restores files."""
    numbers = {"failures": dict(summary.failures), "seconds": round(seconds, 3), "interrupted": interrupted}
    return {"summary": _counts(summary) | numbers}


def summary_record(summary: Summary, seconds: float, interrupted: bool) -> Record:
    """The last line of `mtag scan --json`."""
    numbers = {
        "abstained": summary.abstained,
        "failures": dict(summary.failures),
        "heard": summary.heard,
        "heard_seconds": round(summary.heard_seconds, 3),
        "cached": summary.cached,
        "seconds": round(seconds, 3),
        "interrupted": interrupted,
    }
    return {"summary": _counts(summary) | numbers}


def _counts(summary: Summary) -> dict[str, Any]:
    return {"files": summary.n_files, **{status.value: summary.counts[status] for status in Status}}


def _tags(tags: tuple[TagScore, ...]) -> list[Record]:
    return [{"tag": tag.tag, "score": round(tag.score, 4), "kind": tag.kind.value} for tag in tags]


def _error(error: FileError | None) -> Record | None:
    return {"kind": error.kind.value, "message": legible(error.reason)} if error else None

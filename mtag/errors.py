"""Everything mtag can raise for a person's own files or settings, under one root.

Each exception builds its own sentence. `FailureKind` holds the words that programs read.
"""

from enum import Enum
from pathlib import Path


class FailureKind(str, Enum):
    """Why one file could not be dealt with; the values stand in JSON output."""

    UNSUPPORTED = "unsupported"
    DECODE = "decode"
    TOO_SHORT = "too-short"
    SILENT = "silent"
    PERMISSION = "permission"
    NO_SPACE = "no-space"
    TAG_PARSE = "tag-parse"
    CRASH = "crash"
    # No failures, but reasons to leave a file alone.
    UNHEARD = "unheard"  # only files that have been heard were to be dealt with
    CHANGED = "changed"  # what mtag wrote has been changed since
    MISSING = "missing"  # the file is not where it was


class MtagError(Exception):
    """Root of all errors that mtag explains in one sentence; they can be copied, and pass between processes."""

    def __reduce__(self) -> tuple[object, ...]:
        # Pickle would hand the finished sentence to `__init__`, which takes its parts.
        return _again, (type(self), self.args, vars(self))


class FileError(MtagError):
    """One file failed; others may well succeed.

    Attributes
    ----------
    path
        The file.
    kind
        The kind of failure.
    reason
        The sentence's predicate, in lower case, without the path.
    """

    def __init__(self, path: Path, kind: FailureKind, reason: str) -> None:
        """Keep the parts; the message is `path: reason`."""
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.kind = kind
        self.reason = reason


class SkippedError(FileError):
    """A file is left alone on purpose; that is no failure."""


class WeightsError(MtagError):
    """The weights bundle is missing, damaged or made for other features."""


class DeviceError(MtagError):
    """The device that was asked for is not there."""


class CorpusError(MtagError):
    """A folder of labelled clips cannot be read as a data set."""


class CatalogError(MtagError):
    """The catalog of what has been heard cannot be opened or written."""


class ConfigError(MtagError):
    """The configuration cannot be read, or says something that cannot be.

    Attributes
    ----------
    path
        The file; None: what is at fault was asked for elsewhere.
    key
        What in it is at fault, "[scan] jobs"; None: the file as a whole.
    reason
        The rest of the sentence.
    """

    def __init__(self, path: Path | None, key: str | None, reason: str) -> None:
        """Keep the parts; the message is `path: key: reason`."""
        super().__init__(": ".join(str(part) for part in (path, key, reason) if part is not None))
        self.path = path
        self.key = key
        self.reason = reason


class DecoderError(MtagError):
    """No process that decodes can be started."""


def _again(kind: type[MtagError], args: tuple[object, ...], parts: dict[str, object]) -> MtagError:
    error = kind.__new__(kind, *args)
    vars(error).update(parts)
    return error

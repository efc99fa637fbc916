"""What a command made of each file, and of all of them together."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.errors import FileError
from mtag.field import Field
from mtag.vocabulary import Kind, kind_of


class Status(str, Enum):
    """What became of a file; the values stand in JSON output."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"  # it reads as it should already
    PREVIEW = "preview"  # it would be written
    SKIPPED = "skipped"  # left alone on purpose
    FAILED = "failed"


@dataclass(frozen=True)
class TagScore:
    """One of the fifty tags, and how sure the ensemble is of it."""

    tag: str
    score: float  # in [0, 1]
    kind: Kind


@dataclass(frozen=True)
class ScanResult:
    """What a scan made of one file."""

    path: Path
    status: Status
    genres: tuple[str, ...] = ()  # the file's genres as they are to be
    own_genres: tuple[str, ...] = ()  # those that it has without mtag
    comment: str | None = None  # mtag's own line among the file's comments, likewise
    moods: tuple[str, ...] = ()  # the file's moods, likewise
    groupings: tuple[str, ...] = ()
    new_genres: bool = False  # whether those genres differ from what the file had
    abstained: bool = False  # no tag was sure enough to be written
    tags: tuple[TagScore, ...] = ()  # raw tags, best first
    cached: bool = False  # the scores were recalled, not heard
    duration: float | None = None  # seconds
    error: FileError | None = None  # why it failed or was skipped

    def to_text(self) -> str:
        """JSON text of a result without an error, for the catalog."""
        tags = [[tag.tag, tag.score, tag.kind.value] for tag in self.tags]
        fields = [self.genres, self.own_genres, self.comment, self.moods, self.groupings]
        parts = [self.status.value, fields, self.new_genres, self.abstained, tags, self.duration]
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def from_text(cls, path: Path, text: str) -> ScanResult | None:
        """A file's result as `to_text` gave it, for which nobody has listened; None for a text that is damaged."""
        try:
            status, words, new_genres, abstained, tags, duration = json.loads(text)
            genres, own_genres, comment, moods, groupings = words
            return cls(
                path,
                Status(status),
                tuple(genres),
                tuple(own_genres),
                comment,
                tuple(moods),
                tuple(groupings),
                new_genres,
                abstained,
                tuple(TagScore(tag, score, Kind(kind)) for tag, score, kind in tags),
                cached=True,
                duration=duration,
            )
        except (ValueError, TypeError):
            return None


RESULT_FORMAT = tuple(part.name for part in fields(ScanResult))  # texts of another format are not read


@dataclass(frozen=True)
class Restored:
    """What undoing a run, or stripping, made of one file."""

    path: Path
    status: Status
    fields: tuple[Field, ...] = ()  # those that were put back, or would be
    left: tuple[Field, ...] = ()  # those that somebody has changed since; left alone
    error: FileError | None = None  # why it failed or was skipped


@dataclass
class Summary:
    """A run over files in numbers."""

    counts: Counter[Status] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  # by kind
    abstained: int = 0  # files, counted under their status too
    heard: int = 0  # files that were listened to
    heard_seconds: float = 0.0  # of music
    cached: int = 0  # files whose scores were recalled

    @property
    def n_files(self) -> int:
        """All files that were dealt with."""
        return self.counts.total()

    def add(self, result: ScanResult | Restored) -> None:
        """Count one more file."""
        self.counts[result.status] += 1
        if result.status is Status.FAILED and result.error:
            self.failures[result.error.kind.value] += 1
        if isinstance(result, ScanResult):
            self._add_heard(result)

    def _add_heard(self, result: ScanResult) -> None:
        self.abstained += result.abstained
        self.cached += result.cached
        if result.duration is not None and not result.cached:
            self.heard += 1
            self.heard_seconds += result.duration


def rank(scores: NDArray[np.float32], tags: tuple[str, ...], top: int) -> tuple[TagScore, ...]:
    """The best of the fifty tags, best first; scores are (50,) float32 in the order of `tags`."""
    best = np.argsort(-scores, kind="stable")[:top]
    return tuple(TagScore(tags[i], float(scores[i]), kind_of(tags[i])) for i in best)

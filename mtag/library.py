"""A library's journey: find the files, hear them or recall their scores, choose words, plan, write, record."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag import tagfile
from mtag.atomic import remove_litter
from mtag.audio import packet_digest
from mtag.catalog import Catalog, Heard
from mtag.ensemble import FAST, FULL, Bundle, Ensemble, load_ensemble
from mtag.errors import FailureKind, FileError
from mtag.hearing import Ears, StoppedError, Track, failure_of, in_order, settled
from mtag.tagfile import Field, Fields, GenrePolicy, HardLinkedError, is_ours, plan
from mtag.vocabulary import Kind, choose, kind_of
from mtag.walk import explain, find_files

__all__ = ["ScanOptions", "ScanResult", "Status", "Summary", "TagScore", "find_files", "rank", "scan"]

N_TAGS_SHOWN = 5  # raw tags that a result carries, where `top` does not say otherwise


class Status(str, Enum):
    """What became of a file; the values stand in JSON output."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"  # it reads already as it should
    PREVIEW = "preview"  # it would be written
    SKIPPED = "skipped"  # left alone on purpose
    FAILED = "failed"


@dataclass(frozen=True)
class ScanOptions:
    """How a library is to be scanned."""

    write: bool = False  # else say only what would be written
    fast: bool = False  # Models 1 and 2 alone
    policy: GenrePolicy = GenrePolicy.FILL
    top: int | None = None  # at most so many words in the comment
    min_score: float | None = None  # in place of each tag's own threshold
    jobs: int = 1  # tracks heard at once
    device: str = "auto"
    arguments: str = ""  # how the run was asked for, for the catalog's list of runs
    version: str = ""  # of mtag, likewise


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
    comment: str | None = None  # mtag's own line among the file's comments, likewise
    new_genres: bool = False  # whether those genres differ from what the file had
    abstained: bool = False  # no tag was sure enough to be written
    tags: tuple[TagScore, ...] = ()  # raw tags, best first
    cached: bool = False  # the scores were recalled, not heard
    duration: float | None = None  # seconds
    error: FileError | None = None  # why it failed or was skipped


@dataclass
class Summary:
    """A scan in numbers."""

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

    def add(self, result: ScanResult) -> None:
        """Count one more file."""
        self.counts[result.status] += 1
        self.abstained += result.abstained
        self.cached += result.cached
        if result.status is Status.FAILED and result.error:
            self.failures[result.error.kind.value] += 1
        if result.duration is not None and not result.cached:
            self.heard += 1
            self.heard_seconds += result.duration


def scan(
    files: Iterable[Path | FileError],
    bundle: Bundle,
    catalog: Catalog,
    options: ScanOptions,
    *,
    load: Callable[[], Ensemble] | None = None,
    stop: threading.Event | None = None,
) -> Iterator[ScanResult]:
    """Hear files, and write what was heard into them.

    Parameters
    ----------
    files
        From `find_files`; taken one by one, so they may be many.
    bundle
        Its tags, thresholds and fingerprint are used; its networks are not loaded before a file must be heard.
    catalog
        Scores come from here where the file is as it was, and before-values go here before a file is changed.
        Its thread is the one that takes the results.
    options
        How to go about it.
    load
        Gives the ensemble, by default the bundle's.
    stop
        Once it is set no further file is begun; those being heard are finished, and the results end.

    Yields
    ------
    One result a file, in the order of `files`. Whatever happens to a file is its result; only trouble with the
    catalog or the weights raises.

    Raises
    ------
    WeightsError, DeviceError, CatalogError
        Where no file could be dealt with any more.
    """

    def load_own() -> Ensemble:
        return load_ensemble(bundle, fast=options.fast, device=options.device)

    with Ears(load or load_own, options.jobs, stop) as ears:
        work = _Scan(bundle, catalog, options, ears)
        yield from work.results(files)
        work.finish()


def rank(scores: NDArray[np.float32], tags: tuple[str, ...], top: int) -> tuple[TagScore, ...]:
    """The best of the fifty tags, best first; scores are (50,) float32 in the order of `tags`."""
    best = np.argsort(-scores, kind="stable")[:top]
    return tuple(TagScore(tags[i], float(scores[i]), kind_of(tags[i])) for i in best)


@dataclass(eq=False)
class _Track(Track):
    """A track on its way through a scan."""

    stat: os.stat_result | None = None  # the file as it was when its turn came
    cached: bool = False


class _Scan:
    """One run over many files."""

    def __init__(self, bundle: Bundle, catalog: Catalog, options: ScanOptions, ears: Ears) -> None:
        combination = FAST if options.fast else FULL
        self.tags = bundle.tags
        self.thresholds = bundle.thresholds(combination)
        self.fingerprint = bundle.fingerprint(combination)
        self.catalog = catalog
        self.options = options
        self.ears = ears
        self.run: int | None = None  # its number in the catalog, from the first change on
        self.failed_before = {failure.path for failure in catalog.failures()}
        self.tidied: set[Path] = set()  # folders without litter of killed runs

    def results(self, files: Iterable[Path | FileError]) -> Iterator[ScanResult]:
        for track in in_order(self._begin_all(files), self.ears.limit, self._remember):
            if not self._is_dropped(track):
                yield self._finish(track)

    def finish(self) -> None:
        if self.run is not None:
            self.catalog.finish_run(self.run)

    def _is_dropped(self, track: _Track) -> bool:
        """Whether a track had not really been begun when the user asked to stop."""
        return self.ears.stop.is_set() and (track.cached or isinstance(track.future.exception(), StoppedError))

    def _begin_all(self, files: Iterable[Path | FileError]) -> Iterator[_Track]:
        for file in files:
            if self.ears.stop.is_set():
                return
            yield self._begin(file)

    def _begin(self, file: Path | FileError) -> _Track:
        """Recall a file's scores, or have it heard."""
        if isinstance(file, FileError):
            return _Track(file.path, settled(file))
        try:
            stat = os.stat(file)
        except OSError as error:
            return _Track(file, settled(explain(file, error)))
        if stat.st_nlink > 1:
            # Writing would refuse it, and a preview promises what writing does.
            return _Track(file, settled(HardLinkedError(file, stat.st_nlink)), stat)
        heard = self.catalog.recall(file, stat, self.fingerprint)
        if heard:
            return _Track(file, settled(heard), stat, cached=True)
        return _Track(file, self.ears.listen(file), stat)

    def _remember(self, track: _Track) -> None:
        """Keep what was heard, unless the file has changed while it was listened to."""
        if track.cached or track.stat is None or track.future.exception():
            return
        with suppress(OSError):
            now = os.stat(track.path)
            if _same(track.stat, now):
                self.catalog.remember(track.path, now, self.fingerprint, track.future.result())

    def _finish(self, track: _Track) -> ScanResult:
        """Deal with a file that has been heard; whatever goes wrong is its result."""
        try:
            result = self._tag(track, track.future.result())
        except Exception as error:
            return self._fail(track, failure_of(track.path, error))
        if self.failed_before and Path(os.path.abspath(track.path)) in self.failed_before:
            self.catalog.forget_failure(track.path)
        return result

    def _fail(self, track: _Track, error: FileError) -> ScanResult:
        duration = None if track.future.exception() else track.future.result().duration
        if isinstance(error, HardLinkedError):
            return ScanResult(track.path, Status.SKIPPED, cached=track.cached, duration=duration, error=error)
        if track.stat:
            self.catalog.record_failure(track.path, track.stat, error.kind, error.reason)
        return ScanResult(track.path, Status.FAILED, cached=track.cached, duration=duration, error=error)

    def _tag(self, track: _Track, heard: Heard) -> ScanResult:
        options = self.options
        words = choose(heard.scores.tolist(), self.tags, self.thresholds, top=options.top, min_score=options.min_score)
        heard_words = {Field.GENRE: words.genres, Field.COMMENT: words.comment}
        current = tagfile.read_fields(track.path)
        wanted = plan(current, heard_words, options.policy, tagfile.stamp(options.version, self.fingerprint))
        status = Status.UNCHANGED if wanted is None else Status.PREVIEW
        if wanted is not None and options.write:
            status = Status.WRITTEN if self._write(track, wanted) else Status.UNCHANGED
        fields = wanted or current
        return ScanResult(
            track.path,
            status,
            genres=fields.genres,
            comment=next(filter(is_ours, fields.comments), None),
            new_genres=fields.genres != current.genres,
            abstained=not words,
            tags=rank(heard.scores, self.tags, options.top or N_TAGS_SHOWN),
            cached=track.cached,
            duration=heard.duration,
        )

    def _write(self, track: _Track, wanted: Fields) -> bool:
        """Put fields into a file, its before-values into the catalog first; tells whether the file has changed."""
        path = track.path
        stat, before = os.stat(path), tagfile.snapshot(path)
        if track.stat is None or not _same(track.stat, stat):
            raise FileError(path, FailureKind.PERMISSION, "was changed by another program after it had been heard")
        self._tidy(path)
        change = self.catalog.record_change(self._run(), path, before.to_json())
        try:
            written = tagfile.write(path, wanted, packet_digest, before=before)
        except BaseException:
            with suppress(OSError):
                if _same(stat, os.stat(path)):
                    self.catalog.drop_change(change)
            raise
        if written:
            self.catalog.confirm_change(change, tagfile.snapshot(path).to_json(), os.stat(path))
        else:
            self.catalog.drop_change(change)
        return written

    def _run(self) -> int:
        if self.run is None:
            self.run = self.catalog.begin_run(self.options.arguments, self.options.version)
        return self.run

    def _tidy(self, path: Path) -> None:
        """Clear away what a killed run may have left beside a file that is about to be written."""
        folder = Path(os.path.realpath(path)).parent
        if folder not in self.tidied:
            self.tidied.add(folder)
            with suppress(FileError):  # a folder that may be written need not be readable
                remove_litter(folder)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether a file is what it was."""
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)

"""A library's journey: find the files, hear them or recall their scores, choose words, plan, write, record."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cache
from itertools import takewhile
from pathlib import Path

import numpy as np

from mtag import tagfile
from mtag.atomic import is_same
from mtag.audio.decoders import Decoders
from mtag.bundle import FAST, FULL, Bundle
from mtag.catalog import Catalog, Failure
from mtag.catalog.scores import Heard, Models
from mtag.ensemble import Ensemble, choose_precision, load_ensemble
from mtag.errors import FailureKind, FileError, SkippedError
from mtag.hearing import Ears, StoppedError, Track, UnheardError, failure_of, in_order, settled
from mtag.recorder import ChangedError, Recorder
from mtag.release import version
from mtag.results import RESULT_FORMAT, ScanResult, Status, rank
from mtag.sameness import follow_by_sound, follow_by_state, sampled_digest
from mtag.tagfile import Fields, GenrePolicy, HardLinkedError, HardLinks, Mtime, Style, is_ours, plan
from mtag.vocabulary import Vocabulary
from mtag.walk import explain

UNHEARABLE = (FailureKind.TOO_SHORT, FailureKind.SILENT)  # by any version; folders of samples have thousands
N_TAGS_SHOWN = 5  # raw tags that a result carries, where `top` does not say otherwise
N_ATTEMPTS = 3  # to tag a file that another mtag is working on, too
WAIT_SECONDS = 0.05  # between two looks at whether the other is done
PATIENCE_SECONDS = 60.0  # with the other; changing a large file on a slow disk takes a while
NOT_NEEDED = settled(Heard(np.zeros(0, np.float32), 0.0, 0))  # in place of the scores of a file whose result is known


@dataclass(frozen=True)
class ScanOptions:
    """How a library is to be scanned."""

    write: bool = False  # else say only what would be written
    fast: bool = False  # Models 1 and 2 alone
    policy: GenrePolicy = GenrePolicy.FILL
    top: int | None = None  # at most so many words in each field but the genre
    min_score: float | None = None  # in place of each tag's own threshold
    vocabulary: Vocabulary = field(default_factory=Vocabulary)  # the words, and which fields they go to
    style: Style = field(default_factory=Style)  # how a player wants them written
    windows: int | None = None  # of each track to hear, spread over it; None: all
    jobs: int = 1  # tracks heard at once
    device: str = "auto"
    precision: str = "auto"  # "fp32", "int8", or int8 where that is the faster one
    listen: bool = True  # else only files whose scores are known are dealt with
    mtime: Mtime = Mtime.NOW  # the time stamp a written file gets
    hardlinks: HardLinks = HardLinks.SKIP  # what is done with a file that has several names
    retry_failed: bool = False  # try again even what crashed or hung a decoder
    command: str = "scan"  # for the catalog's list of runs
    arguments: str = ""  # how the run was asked for, likewise
    version: str = field(default_factory=version)  # of mtag, likewise, and for the field MTAG in files

    def fingerprint(self, *others: object) -> str:
        """Identifies everything that decides what a file of known scores is to say.

        Parameters
        ----------
        others
            What takes part in the decision besides these options.
        """
        # An option counts unless it is known not to, so that none can be forgotten.
        deciding = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in _NOT_DECIDING]
        return hashlib.sha256(repr([deciding, *others]).encode()).hexdigest()[:16]


_NOT_DECIDING = frozenset(
    {"write", "jobs", "device", "precision", "listen", "mtime", "hardlinks", "retry_failed", "command", "arguments"}
)


def scan(
    files: Iterable[Path | FileError],
    bundle: Bundle,
    catalog: Catalog,
    options: ScanOptions,
    *,
    load: Callable[[], Ensemble] | None = None,
    stop: threading.Event | None = None,
    decoders: Decoders | None = None,
) -> Generator[ScanResult, None, None]:
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
    decoders
        Processes that are there already; closed at the end.

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
        return load_ensemble(bundle, fast=options.fast, device=options.device, precision=options.precision)

    with Ears(load or load_own, options.jobs, stop, options.windows, decoders) as ears:
        work = _Scan(bundle, catalog, options, ears)
        with work.recorder:
            yield from work.results(files)


class _Source(Enum):
    """Where a track's scores come from."""

    CATALOG = "catalog"  # it has them under the file's own name
    TWIN = "twin"  # another name of the same file, which was begun before
    EARS = "ears"  # a thread, which hears the file or recalls its sound


@dataclass(eq=False)
class _Track(Track):
    """A track on its way through a scan; what was heard in it is to be asked for once its future is done."""

    stat: os.stat_result  # the file as it was when its turn came
    source: _Source

    @property
    def heard(self) -> Heard | None:
        """None where it could not be heard."""
        return None if self.future.exception() else self.future.result()

    @property
    def is_cached(self) -> bool:
        """Whether nobody has listened for it."""
        return self.source is not _Source.EARS or (self.heard is not None and self.heard.is_recalled)


@dataclass(eq=False)
class _Known(Track):
    """A file whose result is known before its turn: what it came to last time, or why it cannot be heard."""

    result: ScanResult

    @classmethod
    def of(cls, result: ScanResult) -> _Known:
        return cls(result.path, NOT_NEEDED, result)


class _Scan:
    """One run over many files."""

    def __init__(self, bundle: Bundle, catalog: Catalog, options: ScanOptions, ears: Ears) -> None:
        combination = FAST if options.fast else FULL
        self.tags = bundle.tags
        self.thresholds = bundle.thresholds(combination)
        precision = choose_precision(bundle, options.precision, options.device)
        self.fingerprint = bundle.fingerprint(combination, precision)
        if options.windows:  # scores of a part of a track are others than those of all of it
            self.fingerprint += f"-w{options.windows}"
        self.deciding = options.fingerprint(self.fingerprint, self.tags, self.thresholds, RESULT_FORMAT)
        self.catalog = catalog
        self.options = options
        self.ears = ears
        self.recorder = Recorder(catalog, options.command, options.arguments, options.version)
        catalog.know_models(self.fingerprint, Models(combination, self.tags))
        self.failed_before = {failure.path: failure for failure in catalog.failures()}
        self.linked: dict[tuple[int, int], Future[Heard]] = {}  # files of several names, by device and inode
        # To digest a sound before hearing costs a few percent; the first digests come from writing, which needs them.
        self.recall = self._same_sound if catalog.knows_sounds() else None

    def results(self, files: Iterable[Path | FileError]) -> Iterator[ScanResult]:
        begun = map(self._begin, takewhile(lambda _: not self.ears.stop.is_set(), files))
        for track in in_order(begun, self.ears.limit, self._remember):
            if not self._is_dropped(track):
                yield track.result if isinstance(track, _Known) else self._finish(track)

    def _is_dropped(self, track: _Track | _Known) -> bool:
        """Whether a track had not really been begun when the user asked to stop."""
        is_begun = isinstance(track, _Track) and track.source is _Source.EARS
        return self.ears.stop.is_set() and (not is_begun or isinstance(track.future.exception(), StoppedError))

    def _failed(self, file: Path) -> Failure | None:
        return self.failed_before.get(Path(os.path.abspath(file))) if self.failed_before else None

    def _begin(self, file: Path | FileError) -> _Track | _Known:
        """Recall what a file came to, or its scores, or have it heard."""
        if isinstance(file, FileError):
            return _Known.of(ScanResult(file.path, Status.FAILED, error=file))
        try:
            stat = os.stat(file)
            if stat.st_nlink > 1 and self.options.write:
                self.recorder.tidy(file)  # only such a file can a kill have left half-written
                stat = os.stat(file)
        except OSError as error:
            return _Known.of(ScanResult(file, Status.FAILED, error=explain(file, error)))
        if known := self._known_result(file, stat):
            return _Known.of(known)
        heard = self._recall(file, stat)
        track = _Track(file, settled(heard), stat, _Source.CATALOG) if heard else self._heard_anew(file, stat)
        if stat.st_nlink > 1 and stat.st_ino:
            self.linked.setdefault((stat.st_dev, stat.st_ino), track.future)
        return track

    def _heard_anew(self, file: Path, stat: os.stat_result) -> _Track:
        """Have a file heard whose scores are not known; one of several names, once."""
        if twin := self.linked.get((stat.st_dev, stat.st_ino)):
            return _Track(file, twin, stat, _Source.TWIN)
        if reason := self._reason_to_skip(file, stat):
            future = settled(reason)
        elif self.options.listen:
            future = self.ears.listen(file, self.recall)
        else:
            future = self.ears.recognise(file, self._same_sound)
        return _Track(file, future, stat, _Source.EARS)

    def _same_sound(self, sound: str) -> Heard | None:
        return self.catalog.recall_sound(sound, self.fingerprint)

    def _known_result(self, file: Path, stat: os.stat_result) -> ScanResult | None:
        if self._is_guarded(stat):
            # Writing would refuse it, and a preview promises what writing does.
            error = HardLinkedError(file, stat.st_nlink)
            return ScanResult(file, Status.SKIPPED, cached=False, error=error)
        kept = self.catalog.outcome(file, stat, self.deciding)
        result = ScanResult.from_text(file, kept) if kept else None
        return None if result and result.status is Status.PREVIEW and self.options.write else result

    def _is_guarded(self, stat: os.stat_result) -> bool:
        return stat.st_nlink > 1 and self.options.hardlinks is HardLinks.SKIP

    def _recall(self, file: Path, stat: os.stat_result) -> Heard | None:
        """What was heard in a file, under whatever name."""
        heard = self.catalog.recall(file, stat, self.fingerprint)
        if heard is None and follow_by_state(self.catalog, file, stat):
            heard = self.catalog.recall(file, stat, self.fingerprint)
        return heard

    def _reason_to_skip(self, file: Path, stat: os.stat_result) -> FileError | None:
        """Why a file that would have to be heard is not to be."""
        if not self.options.listen and not self.catalog.knows_sound_at(file):
            return UnheardError(file)
        failure = self._failed(file)
        if failure is None or not failure.is_of(stat) or self.options.retry_failed:
            return None
        if failure.kind is FailureKind.CRASH:
            day = time.strftime("%Y-%m-%d", time.localtime(failure.happened))
            reason = f"stopped its decoder on {day} and is not tried again; --retry-failed tries it"
            return SkippedError(file, FailureKind.CRASH, reason)
        if failure.kind in UNHEARABLE:
            return FileError(file, failure.kind, failure.reason)
        return None

    def _remember(self, track: _Track | _Known) -> None:
        """Keep what was heard, unless the file has changed while it was listened to."""
        if isinstance(track, _Known) or track.source is _Source.CATALOG or not (heard := track.heard):
            return
        with suppress(OSError):
            now = os.stat(track.path)
            if is_same(track.stat, now):
                if heard.is_recalled and heard.sound:
                    follow_by_sound(self.catalog, track.path, now, heard.sound)
                self.catalog.remember(track.path, now, self.fingerprint, heard, sampled_digest(track.path))

    def _finish(self, track: _Track) -> ScanResult:
        """Deal with a file that has been heard; whatever goes wrong is its result."""
        try:
            result = self._tag_at_last(track, track.future.result())
        except Exception as error:
            return self._fail(track, failure_of(track.path, error))
        if self._failed(track.path):
            self.catalog.forget_failure(track.path)
        return result

    def _fail(self, track: _Track, error: FileError) -> ScanResult:
        skipped = isinstance(error, (HardLinkedError, SkippedError))
        if not skipped:
            self.catalog.record_failure(track.path, track.stat, error.kind, error.reason)
        status = Status.SKIPPED if skipped else Status.FAILED
        duration = track.heard.duration if track.heard else None
        return ScanResult(track.path, status, cached=track.is_cached, duration=duration, error=error)

    def _tag_at_last(self, track: _Track, heard: Heard) -> ScanResult:
        """Tag a file; should another mtag have been faster, take the file as that one left it."""
        for _ in range(N_ATTEMPTS - 1):
            try:
                return self._tag(track, heard)
            except ChangedError:
                self._await_other(track.path)
                track.stat = os.stat(track.path)
                known = self._recall(track.path, track.stat)
                if known is None:
                    raise
                heard = known
        return self._tag(track, heard)

    def _await_other(self, path: Path) -> None:
        """Wait until no other mtag is changing a file, but not for one that is stopped, or after Ctrl-C."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.catalog.is_being_changed(path):
            if self.ears.stop.wait(WAIT_SECONDS) or time.monotonic() > deadline:
                raise ChangedError(path, "is being changed by another mtag")

    def _tag(self, track: _Track, heard: Heard) -> ScanResult:
        options = self.options
        scores = heard.scores.tolist()
        words = options.vocabulary.choose(
            scores, self.tags, self.thresholds, top=options.top, min_score=options.min_score
        )
        stat = os.stat(track.path)
        current = tagfile.read_fields(track.path)
        stamp = tagfile.stamp(options.version, self.fingerprint)
        wanted = plan(current, words, options.policy, stamp, options.style)
        status = Status.UNCHANGED if wanted is None else Status.PREVIEW
        if wanted is not None and options.write:
            status = Status.WRITTEN if self._write(track, wanted) else Status.UNCHANGED
        planned = wanted or current
        result = ScanResult(
            track.path,
            status,
            genres=planned.genres,
            own_genres=current.untouched.genres,
            comment=next(filter(is_ours, planned.comments), None),
            moods=planned.moods,
            groupings=planned.groupings,
            new_genres=planned.genres != current.genres,
            abstained=not words,
            tags=rank(heard.scores, self.tags, options.top or N_TAGS_SHOWN),
            cached=track.is_cached,
            duration=heard.duration,
        )
        after = replace(planned, before=current.untouched)
        self._keep(result, stat, is_settled=plan(after, words, options.policy, stamp, options.style) is None)
        return result

    def _keep(self, result: ScanResult, stat: os.stat_result, is_settled: bool) -> None:
        """Keep what a file came to, so that the next run need not open it.

        Parameters
        ----------
        result
            What the file came to.
        stat
            The file from before it was read.
        is_settled
            Whether a file that reads as planned would be left alone.
        """
        if result.status is Status.WRITTEN:
            if not is_settled:
                return
            result = replace(result, status=Status.UNCHANGED, new_genres=False)
            stat = os.stat(result.path)
        self.catalog.keep_outcome(result.path, stat, self.deciding, result.to_text())

    def _write(self, track: _Track, wanted: Fields) -> bool:
        """Put fields into a file; tells whether it has changed."""
        path, options = track.path, self.options
        sound = track.future.result().sound
        # Should the digest from when the file was heard be out of date, the copy's differs and is refused.
        digest = cache(lambda file: sound if sound and file == path else self.ears.decoders.packet_digest(file))
        is_written = self.recorder.change(
            path,
            track.stat,
            lambda announce: tagfile.write(
                path,
                wanted,
                digest,
                mtime=options.mtime,
                hardlinks=options.hardlinks,
                style=options.style,
                announce=announce,
            ),
        )
        if is_written and not sound:
            self.catalog.know_sound(path, digest(path))  # from before, and the same still
        return is_written

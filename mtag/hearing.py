"""Tracks heard side by side, given back in the order they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mtag.audio.decoders import Decoders
from mtag.audio.windows import SpreadReader, WindowReader, Windows
from mtag.catalog.scores import Heard
from mtag.errors import FailureKind, FileError, MtagError, SkippedError
from mtag.predict import predict_windows
from mtag.walk import explain

if TYPE_CHECKING:
    from mtag.ensemble import Ensemble

LOOK_AHEAD = 8  # tracks per job that may be begun before the first is done: a long one must not hold up the others


class StoppedError(Exception):
    """The track's turn came only after the user had asked to stop."""


class UnheardError(SkippedError):
    """A file was only to be dealt with if it had been heard before."""

    def __init__(self, path: Path) -> None:
        """Say what would hear it."""
        super().__init__(path, FailureKind.UNHEARD, "has not been heard with these options yet; `mtag scan` hears it")


@dataclass(eq=False)
class Track:
    """A file and what is heard, or will be heard, in it."""

    path: Path
    future: Future[Heard]


T = TypeVar("T", bound=Track)
Recall = Callable[[str], "Heard | None"]  # what was heard in another file of the same sound; may raise


class Ears:
    """Threads that hear, sharing one ensemble; a context manager.

    A track has one thread, which computes, and one process, which decodes what the thread asks for and then waits:
    so a job keeps one core busy and no more. FFT and inference release the interpreter's lock.

    Parameters
    ----------
    load
        Gives the ensemble; called when the first track is to be heard, and never where there is none.
    jobs
        Tracks heard at once.
    stop
        Once it is set, no further track is begun; those in hand are heard to their end.
    n_windows
        Windows of each track to hear, spread over it; None: all.
    decoders
        Processes that are there already; closed with this object.

    Attributes
    ----------
    decoders
        The processes, for whatever else is to be read from music files.
    """

    def __init__(
        self,
        load: Callable[[], Ensemble],
        jobs: int,
        stop: threading.Event | None = None,
        n_windows: int | None = None,
        decoders: Decoders | None = None,
    ) -> None:
        self.limit = jobs * LOOK_AHEAD
        self.stop = stop or threading.Event()
        self.decoders = decoders or Decoders.for_jobs(jobs)
        self._load = load
        self._n_windows = n_windows
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="mtag-ear")

    def __enter__(self) -> Ears:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # After an interrupt nobody waits for a long track; otherwise the threads are idle by now.
        self._pool.shutdown(wait=error is None, cancel_futures=True)
        self.decoders.close()

    @cached_property
    def ensemble(self) -> Ensemble:
        """The models, loaded when first needed, while the first decoder starts beside them."""
        self.decoders.prepare()
        return self._load()

    def listen(self, path: Path, recall: Recall | None = None) -> Future[Heard]:
        """Begin to hear a file as soon as a thread is free; one whose sound is recalled is not listened to."""
        return self._pool.submit(self._hear, path, self.ensemble, recall)

    def recognise(self, path: Path, recall: Recall) -> Future[Heard]:
        """As `listen`, but where the sound is not recalled, `UnheardError` comes of it; needs no ensemble."""
        return self._pool.submit(self._hear, path, None, recall)

    def _hear(self, path: Path, ensemble: Ensemble | None, recall: Recall | None) -> Heard:
        if self.stop.is_set():
            raise StoppedError
        sound = self._sound(path) if recall else None
        if recall and sound and (known := recall(sound)):
            return known
        if ensemble is None:
            raise UnheardError(path)
        decoders = self.decoders
        windows: Windows = WindowReader(path, decoders.read_blocks)
        if self._n_windows:
            windows = SpreadReader(path, self._n_windows, decoders.read_spread, decoders.read_blocks)
        prediction = predict_windows(windows, ensemble)
        return Heard(prediction.scores, prediction.duration, prediction.n_windows, sound)

    def _sound(self, path: Path) -> str | None:
        """Digest of a file's audio; None where the file cannot be followed to its end, but maybe heard."""
        try:
            return self.decoders.packet_digest(path)
        except FileError as error:
            if error.kind is FailureKind.CRASH:
                raise
            return None


def settled(outcome: Heard | Exception) -> Future[Heard]:
    """A future whose outcome is known already."""
    future: Future[Heard] = Future()
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future


def in_order(tracks: Iterable[T], limit: int, heard: Callable[[T], None] = lambda track: None) -> Iterator[T]:
    """Give each track back once it has been heard, in the order they came.

    Parameters
    ----------
    tracks
        Taken one by one, so that no more than `limit` are under way.
    limit
        Tracks that may be begun before the first of them is done.
    heard
        Called once for each track, in the caller's thread, as soon as it has been heard: before its turn, maybe.
    """
    waiting: deque[T] = deque()
    unheard: set[T] = set()

    def first() -> T:
        while True:
            done = {track for track in unheard if track.future.done()}
            for track in done:
                heard(track)
            unheard.difference_update(done)
            if waiting[0] not in unheard:
                return waiting.popleft()
            wait([track.future for track in unheard], return_when=FIRST_COMPLETED)

    for track in tracks:
        waiting.append(track)
        unheard.add(track)
        while waiting and (waiting[0].future.done() or len(waiting) >= limit):
            yield first()
    while waiting:
        yield first()


def hear(files: Iterable[Path | FileError], ears: Ears) -> Iterator[tuple[Path, Heard | FileError]]:
    """Hear files side by side.

    Parameters
    ----------
    files
        From `find_files`; what is a failure already stays one.
    ears
        What to hear with.

    Yields
    ------
    Each file with what came of it, in the order of `files`.

    Raises
    ------
    WeightsError, DeviceError
        Where nothing can be heard at all.
    """

    def begin(file: Path | FileError) -> Track:
        return Track(file.path, settled(file)) if isinstance(file, FileError) else Track(file, ears.listen(file))

    for track in in_order(map(begin, takewhile(lambda _: not ears.stop.is_set(), files)), ears.limit):
        error = track.future.exception()
        if isinstance(error, StoppedError):
            return
        yield track.path, failure_of(track.path, error) if isinstance(error, Exception) else track.future.result()


def failure_of(path: Path, error: Exception) -> FileError:
    """What one file's exception means to a person.

    Raises
    ------
    MtagError
        The same exception again, where the trouble is not the file's.
    """
    if isinstance(error, FileError):
        return error
    if isinstance(error, MtagError):
        raise error
    if isinstance(error, OSError):
        return explain(path, error)
    crash = FileError(path, FailureKind.CRASH, f"stopped mtag with {type(error).__name__}: {error}")
    crash.__cause__ = error
    return crash

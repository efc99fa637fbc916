"""What was heard: scores by file, the same file under other names, and what each came to."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mtag.catalog.schema import BUSY_SECONDS
from mtag.catalog.store import Store, explained, path_key, path_of, signed, state_of, utf8


@dataclass(frozen=True, eq=False)
class Heard:
    """What listening to one track gave."""

    scores: NDArray[np.float32]  # (50,) in [0, 1], in the bundle's order of tags
    duration: float  # seconds
    n_windows: int  # windows that were not silent
    sound: str | None = None  # digest of the audio's packets, the same whatever the tags; None: not known
    is_recalled: bool = False  # it was another listening, to the same sound


@dataclass(frozen=True)
class Relative:
    """A track of the size and time that some file has: the same one by another name, maybe."""

    id: int
    path: Path
    is_same_inode: bool
    digest: bytes | None  # of sampled blocks


@dataclass(frozen=True)
class Models:
    """The models that gave some scores."""

    name: str  # the combination: 1+2+3
    tags: tuple[str, ...]  # names of the scores


class Scores(Store):
    """The catalog's tables of tracks, scores and outcomes."""

    def recall(self, path: Path, stat: os.stat_result, fingerprint: str) -> Heard | None:
        """What was heard in a file that has not changed since, or None.

        Parameters
        ----------
        path, stat
            The file and its present size and modification time.
        fingerprint
            Identifies the models that gave the scores.
        """
        row = self._row(
            "SELECT scores, duration, windows FROM tracks JOIN scores ON track = id"
            " WHERE path = ? AND size = ? AND mtime_ns = ? AND fingerprint = ?",
            (path_key(path), stat.st_size, signed(stat.st_mtime_ns), fingerprint),
        )
        return heard_of(*row) if row else None

    def recall_sound(self, sound: str, fingerprint: str) -> Heard | None:
        """What was heard in some file of the same sound, or None. Any thread may ask.

        Parameters
        ----------
        sound
            Digest of a file's audio packets.
        fingerprint
            Identifies the models that gave the scores.
        """
        with explained(self.path), closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as connection:
            row = connection.execute(
                "SELECT scores, duration, windows FROM tracks JOIN scores ON track = id"
                " WHERE sound = ? AND fingerprint = ? LIMIT 1",
                (sound, fingerprint),
            ).fetchone()
        return replace(heard_of(*row), sound=sound, is_recalled=True) if row else None

    def remember(
        self, path: Path, stat: os.stat_result, fingerprint: str, heard: Heard, digest: bytes | None = None
    ) -> None:
        """Keep what was heard in a file; what was heard before its sound changed is forgotten.

        Parameters
        ----------
        path, stat
            The file and its size, times and identity when it was heard.
        fingerprint
            Identifies the models that gave the scores.
        heard
            What they gave.
        digest
            Of the file's sampled blocks, so that it is known again under another name.
        """
        key = path_key(path)
        state = state_of(stat)
        with self._transaction() as connection:
            changed = "(SELECT id FROM tracks WHERE path = ? AND (size <> ? OR mtime_ns <> ?)"
            connection.execute(f"DELETE FROM outcomes WHERE track = {changed})", (key, *state[:2]))
            connection.execute(
                f"DELETE FROM scores WHERE track = {changed} AND coalesce(sound <> ?, TRUE))",
                (key, *state[:2], heard.sound),
            )
            connection.execute(
                "INSERT INTO tracks (path, size, mtime_ns, device, inode, duration, windows, digest, sound)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET size = excluded.size,"
                " mtime_ns = excluded.mtime_ns, device = excluded.device, inode = excluded.inode,"
                " duration = excluded.duration, windows = excluded.windows, digest = excluded.digest,"
                " sound = excluded.sound",
                (key, *state, heard.duration, heard.n_windows, digest, heard.sound),
            )
            connection.execute(
                "INSERT OR REPLACE INTO scores SELECT id, ?, ? FROM tracks WHERE path = ?",
                (fingerprint, heard.scores.astype("<f4").tobytes(), key),
            )

    def know_models(self, fingerprint: str, models: Models) -> None:
        """Note what the scores of some models mean, for those who read them later without the models."""
        row = (fingerprint, models.name, json.dumps(models.tags))
        if not self._row("SELECT 1 FROM models WHERE fingerprint = ? AND name = ? AND tags = ?", row):
            with self._transaction() as connection:
                connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?)", row)

    # The same file by another name

    def relatives(self, path: Path, stat: os.stat_result) -> list[Relative]:
        """Tracks under other names that have this file's size and modification time.

        A file system without inodes gives all files the number 0, which says nothing.
        """
        size, mtime_ns, device, inode = state_of(stat)
        rows = self._rows(
            "SELECT id, path, device = ? AND inode = ? AND inode <> 0, digest FROM tracks"
            " WHERE size = ? AND mtime_ns = ? AND path <> ? ORDER BY id DESC LIMIT 50",
            (device, inode, size, mtime_ns, path_key(path)),
        )
        return [Relative(track, path_of(key), bool(same), digest) for track, key, same, digest in rows]

    def namesakes(self, sound: str) -> list[tuple[int, Path]]:
        """Numbers and paths of the tracks that have a sound, latest first."""
        rows = self._rows("SELECT id, path FROM tracks WHERE sound = ? ORDER BY id DESC LIMIT 50", (sound,))
        return [(track, path_of(key)) for track, key in rows]

    def knows_sounds(self) -> bool:
        """Whether the sound of any track is known."""
        return self._row("SELECT 1 FROM tracks WHERE sound IS NOT NULL LIMIT 1") is not None

    def know_sound(self, path: Path, sound: str) -> None:
        """Note the sound of a file that was heard."""
        with self._transaction() as connection:
            connection.execute("UPDATE tracks SET sound = ? WHERE path = ?", (sound, path_key(path)))

    def knows_sound_at(self, path: Path) -> bool:
        """Whether the sound of what lay at a path is known, whatever has happened to the file since."""
        return self._row("SELECT 1 FROM tracks WHERE path = ? AND sound IS NOT NULL", (path_key(path),)) is not None

    def move_track(self, track: int, path: Path, stat: os.stat_result) -> None:
        """Note that a file goes by another name now; its history goes with it."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM tracks WHERE path = ? AND id <> ?", (path_key(path), track))
            connection.execute(
                "UPDATE tracks SET path = ?, device = ?, inode = ? WHERE id = ?",
                (path_key(path), *state_of(stat)[2:], track),
            )

    def copy_track(self, track: int, path: Path, stat: os.stat_result) -> None:
        """Note that a file goes by one more name; what was heard in it holds for both."""
        key = path_key(path)
        with self._transaction() as connection:
            connection.execute("DELETE FROM tracks WHERE path = ?", (key,))
            connection.execute(
                "INSERT INTO tracks (path, size, mtime_ns, device, inode, duration, windows, digest, sound)"
                " SELECT ?, size, mtime_ns, ?, ?, duration, windows, digest, sound FROM tracks WHERE id = ?",
                (key, *state_of(stat)[2:], track),
            )
            connection.execute(
                "INSERT INTO scores SELECT (SELECT id FROM tracks WHERE path = ?), fingerprint, scores"
                " FROM scores WHERE track = ?",
                (key, track),
            )

    # Outcomes

    def outcome(self, path: Path, stat: os.stat_result, options: str) -> str | None:
        """What a file came to under the same options, where nothing at all has happened to it since, or None."""
        row = self._row(
            "SELECT outcome FROM tracks JOIN outcomes ON track = id WHERE path = ? AND size = ? AND mtime_ns = ?"
            " AND ctime_ns = ? AND options = ?",  # no inode: FAT gives new ones whenever it is asked
            (
                path_key(path),
                stat.st_size,
                signed(stat.st_mtime_ns),
                signed(stat.st_ctime_ns),
                options,
            ),
        )
        return str(row[0]) if row else None

    def keep_outcome(self, path: Path, stat: os.stat_result, options: str, outcome: str) -> None:
        """Keep what a file came to, so that nobody need open it again.

        Parameters
        ----------
        path, stat
            The file, and its state from before it was looked at; nothing is kept for a file that was never heard.
        options
            Identifies everything that the outcome depends on besides the file.
        outcome
            The caller's text.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO outcomes SELECT id, ?, ?, ?, ? FROM tracks"
                " WHERE path = ? AND size = ? AND mtime_ns = ?",
                (
                    signed(stat.st_ino),
                    signed(stat.st_ctime_ns),
                    options,
                    utf8(outcome),
                    path_key(path),
                    stat.st_size,
                    signed(stat.st_mtime_ns),
                ),
            )


def heard_of(scores: bytes, duration: float, n_windows: int) -> Heard:
    """What a row says."""
    return Heard(np.frombuffer(scores, "<f4").astype(np.float32), duration, n_windows)

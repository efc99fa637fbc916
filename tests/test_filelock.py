"""A file is locked by one at a time, and free again once that one is gone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from mtag.filelock import lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks a process against itself otherwise")


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """One file, opened by two."""
    with (tmp_path / "lock").open("ab") as one, (tmp_path / "lock").open("ab") as other:
        yield one, other


def test_a_lock_is_one_persons_until_the_file_is_closed(twice: tuple[BinaryIO, BinaryIO]) -> None:
    one, other = twice
    assert lock(one)
    assert lock(other) is False
    one.close()
    assert lock(other)


def test_who_waits_gets_the_lock_when_it_is_free_and_not_before(twice: tuple[BinaryIO, BinaryIO]) -> None:
    one, other = twice
    lock(one)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(lock(other, wait=True)))
    waiting.start()
    waiting.join(0.1)
    assert not got
    one.close()
    waiting.join(10)
    assert got == [True]


def test_where_a_file_system_knows_no_locks_nobody_gets_one(
    twice: tuple[BinaryIO, BinaryIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert lock(twice[0], wait=True) is None

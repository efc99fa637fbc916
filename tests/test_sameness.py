from __future__ import annotations

import os

from mtag.atomic import is_same
from mtag.sameness import sampled_digest


def test_a_file_that_is_touched_is_not_the_same(tmp_path):
    path = tmp_path / "song"
    path.write_bytes(b"music")
    before = path.stat()
    assert is_same(before, path.stat())
    os.utime(path, (1, 1))
    assert not is_same(before, path.stat())


def test_a_digest_tells_files_apart_wherever_a_stretch_differs(tmp_path):
    content = bytes(range(256)) * 4096
    digests = set()
    for start in (None, 0, len(content) // 2, len(content) - 70_000):
        changed = bytearray(content)
        if start is not None:
            changed[start : start + 200_000] = bytes(len(changed[start : start + 200_000]))
        (tmp_path / "song").write_bytes(changed)
        digests.add(sampled_digest(tmp_path / "song"))
    assert len(digests) == 4


def test_short_and_empty_files_have_digests_and_missing_ones_none(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b"x")
    assert sampled_digest(tmp_path / "empty") != sampled_digest(tmp_path / "short")
    assert sampled_digest(tmp_path / "missing") is None

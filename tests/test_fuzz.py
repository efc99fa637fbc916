"""`python -m tests.fuzz` at a modest size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import gallery
from tests.fuzz import MEMORY_BYTES, Fuzzer, fuzz
from tests.mutants import mutant

N_FILES = 120


@pytest.mark.skipif(sys.platform == "win32", reason="the driver needs process groups")
def test_damaged_files_neither_stop_a_run_nor_are_harmed_by_it(tmp_path: Path) -> None:
    findings = fuzz(tmp_path, range(N_FILES), seed=0)
    assert findings.defects == []
    assert findings.outcomes.total() == N_FILES
    assert {"written", "decode", "tag-parse", "too-short"} <= findings.outcomes.keys()
    assert 0 < findings.peak_bytes < MEMORY_BYTES


def test_a_damaged_file_is_the_same_for_the_same_number(tmp_path: Path) -> None:
    gallery.fill(tmp_path, "v2")
    sources = [(path.name, path.read_bytes()) for path in sorted(tmp_path.iterdir())]
    assert len({mutant(sources, 1, number)[1] for number in range(50)}) > 45
    assert [mutant(sources, 1, number) for number in (7, 3)] == [mutant(sources, 1, number) for number in (7, 3)]
    assert mutant(sources, 1, 7) != mutant(sources, 2, 7)


def test_the_judge_sees_a_file_that_was_altered_without_a_word(tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, 0)
    path = tmp_path / "full.flac"
    data = dict(fuzzer.sources)["full.flac"]
    failed = {"status": "failed", "error": {"kind": "decode", "message": "is damaged"}}
    written = {"status": "written", "error": None}
    for content, result, defects in (
        (data, failed, 0),
        (data[:-1], failed, 1),
        (data, written, 1),
        (data.replace(b"not quite", b"not  quit"), written, 1),
        (data[:-2000] + bytes(2000), written, 1),
        (data, {"status": "failed", "error": {"kind": "crash", "message": "stopped mtag"}}, 1),
        (data, None, 1),
    ):
        path.write_bytes(content)
        fuzzer.findings.defects.clear()
        fuzzer._judge(path, data, result)
        assert len(fuzzer.findings.defects) == defects, fuzzer.findings.defects

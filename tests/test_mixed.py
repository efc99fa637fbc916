"""`python -m tests.mixed` at a modest size."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.mixed import NAMES, WAYS, mixed

N_FILES = 28

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")


def test_a_mixed_library_is_tagged_and_every_field_set_back(tmp_path: Path) -> None:
    assert len(NAMES) < N_FILES
    summary, *told = mixed(tmp_path, N_FILES, seed=0, ways=(WAYS[0], WAYS[2]))
    assert f'"files": {N_FILES}' in summary
    assert told[0] == f"{N_FILES} tracks exported"
    assert len(told) == 3
    assert all(f"every field of {N_FILES} files is as it was" in line for line in told[1:])

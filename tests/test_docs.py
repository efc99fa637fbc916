"""The examples for Python, run as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    pytest.param(code, id=f"{name}-{number}")
    for name in ("README.md", "docs/python.md")
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_does_what_it_says_without_a_warning(code, tmp_path):
    shutil.copy(ROOT / "tests/music/garage.mp3", tmp_path / "song.mp3")
    (tmp_path / "Music").mkdir()
    shutil.copy(ROOT / "tests/music/nocturne.flac", tmp_path / "Music")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"MTAG_CATALOG": str(tmp_path / "catalog.db")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "undo(" in code:
        before = (ROOT / "tests/music/nocturne.flac").read_bytes()
        assert "written ('Classical',) mtag: piano" in done.stdout
        assert (tmp_path / "Music/nocturne.flac").read_bytes() == before

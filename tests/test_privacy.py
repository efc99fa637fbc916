"""Nothing leaves the machine: what a library might send by itself is off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mtag

LOADED = "from mtag import load_ensemble; load_ensemble(device='cpu')"
LISTED = (
    "from mtag.bundle import load_bundle; from mtag.ensemble import choose_precision; choose_precision(load_bundle())"
)


@pytest.fixture
def environment(tmp_path):
    """As few variables as a program can do with: several (CI, for one) would turn ONNX Runtime's telemetry off."""
    home = {name: str(tmp_path) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return {**home, **kept, "PYTHONPATH": str(Path(mtag.__file__).parent.parent), "ORT_DISABLE_TELEMETRY": "0"}


@pytest.mark.parametrize("program", [LOADED, LISTED])
def test_onnxruntime_neither_reports_nor_leaves_an_identifier(program, environment, tmp_path):
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*")) == []


def test_telemetry_is_off_before_onnxruntime_is_imported(environment):
    program = "import os, sys, mtag; print('onnxruntime' in sys.modules, os.environ['ORT_DISABLE_TELEMETRY'])"
    output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert output.split() == ["False", "1"]

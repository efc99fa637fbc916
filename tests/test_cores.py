import os
import sys

import pytest

from mtag import cores
from mtag.cores import all_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such groups")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Give a function that makes a machine of 64 cores whose groups have these limits."""

    def make(own: str, **limits: str) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in limits.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(cores, "OWN_GROUP", tmp_path / "own")
        monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))

    return make


@pytest.mark.parametrize(
    ("own", "limits", "n_cores"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 64),
        (
            "0::/a.slice/b.service\n",
            {"a.slice/cpu.max": "300000 100000\n", "a.slice/b.service/cpu.max": "max 100000"},
            3,
        ),
        ("0::/../../host\n", {"cpu.max": "200000 100000\n"}, 2),
        (
            "5:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
            4,
        ),
        ("5:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        ("nonsense", {}, 64),
    ],
)
def test_a_limit_of_processor_time_limits_the_jobs(machine, own, limits, n_cores):
    machine(own, **limits)
    assert all_cores() == n_cores


def test_a_machine_without_groups_has_all_its_cores(machine, tmp_path):
    machine("0::/")
    (tmp_path / "own").unlink()
    assert all_cores() == 64

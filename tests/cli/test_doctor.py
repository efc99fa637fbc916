from __future__ import annotations

import pytest

from mtag.doctor import PARTS


def test_a_line_a_part_under_what_runs_it(mtag):
    ended = mtag("doctor")
    heading, *lines = ended.out.splitlines()
    assert ended.code == 0
    assert heading.startswith("mtag ")
    assert [line.split()[1] for line in lines] == list(PARTS)


def test_json_has_the_same(mtag):
    ended = mtag("doctor", "--json")
    assert [record["part"] for record in ended.records] == list(PARTS)
    assert all(record["well"] and record["message"] for record in ended.records)


@pytest.mark.parametrize("asked", [("--weights", "nowhere"), ("--device", "coreml")])
def test_what_is_amiss_has_an_exit_code(mtag, asked):
    ended = mtag("doctor", *asked)
    assert ended.code == 1
    assert "✗ device" in ended.out

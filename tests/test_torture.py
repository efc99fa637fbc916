"""`python -m tests.torture` at a modest size."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator

import pytest
from mutagen.flac import FLAC

from tests.hardships import HARDSHIPS
from tests.portrait import harm, portray
from tests.torture import killed, prepare
from tests.workshop import Defect, Workshop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the drivers need signals and process groups")

KINDS = r"^(full\.(flac|ogg|m4a|wma|aiff|wv)|rich\.(wav|flac)|v22|v24|v1-only|noise.mpc)"
N_KILLS = 4


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return prepare(tmp_path_factory.mktemp("torture"), kinds=KINDS)


@pytest.fixture
def fresh(shop: Workshop) -> Iterator[Workshop]:
    """The library as it was before anything was written."""
    shop.fresh()
    yield shop
    for path in shop.library.rglob("*"):
        path.chmod(0o755)  # so that it can be cleared away even after a failure


def test_a_run_that_is_killed_leaves_every_file_as_it_was_or_as_it_is_to_be(fresh: Workshop) -> None:
    assert killed(fresh, random.Random(0), N_KILLS).startswith(f"{N_KILLS} kills")


@pytest.mark.parametrize("name", HARDSHIPS)
def test_no_hardship_does_harm(fresh: Workshop, name: str) -> None:
    told = HARDSHIPS[name](fresh, random.Random(name))
    if told.startswith("skipped"):
        pytest.skip(told)
    assert told[0] in "123456789", told  # a hardship that strikes nothing shows nothing


def test_a_fate_strikes_at_the_instant_it_names(fresh: Workshop) -> None:
    for event, lines in ((0, 0), (3, 0), (3, 5)):
        ended = fresh.mtag("scan", fresh.library, "--write-tags", event=event, lines=lines)
        assert ended.code == -signal.SIGKILL
        assert event < ended.events <= event + 1 + lines


@pytest.mark.parametrize("name", ["full.flac", "v24.mp3", "full.m4a", "full.wma", "full.wv", "rich.wav"])
def test_the_judge_sees_a_foreign_field_that_was_altered(fresh: Workshop, name: str) -> None:
    path = fresh.library / "album 0" / name
    before, data = portray(path), path.read_bytes()
    path.write_bytes(data.replace(b"not quite a picture", b"not quite a Picture"))
    assert "lost" in (harm(before, portray(path)) or "")
    with pytest.raises(Defect, match="neither original nor tagged"):
        fresh.judge("original", "tagged")


@pytest.mark.parametrize("name", ["full.flac", "v24.mp3"])
def test_the_judge_sees_other_sound(fresh: Workshop, name: str) -> None:
    path = fresh.library / "album 0" / name
    before, data = portray(path), path.read_bytes()
    path.write_bytes(data[:-3000] + bytes(3000))
    assert harm(before, portray(path)) == "sounds different"


def test_the_judge_sees_a_state_that_is_half_one_and_half_another(fresh: Workshop) -> None:
    name = "album 0/full.flac"
    fresh.mtag("scan", fresh.library / name, "--write-tags").check()
    assert fresh.judge("original", "tagged", names=[name]) == {name: "tagged"}
    file = FLAC(fresh.library / name)
    del file["genre"]
    file.save()
    with pytest.raises(Defect, match="neither original nor tagged"):
        fresh.judge("original", "tagged", names=[name])

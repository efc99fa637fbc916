from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mutagen
import pytest

from mtag.catalog import Catalog
from mtag.tagfile import Fields, read_fields
from tests.encoding import encode, tone
from tests.tiny_bundle import write_tiny_bundle

SR = 16_000  # Hz
ROOT = Path(__file__).parents[2]
KEYS = {"path", "status", "genre", "genre_before", "comment", "tags", "cached", "error"}


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def process(*arguments: str | Path, **settings) -> subprocess.Popen[bytes]:
    """Mtag as a process of its own."""
    paths = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, **settings.pop("env", {})}
    command = [sys.executable, "-m", "mtag", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, **(pipes | settings))


def test_only_what_is_to_be_heard_needs_decoders(mtag, tmp_path, monkeypatch):
    song = encode(tmp_path / "song.flac", tone(10, SR), SR)
    assert mtag("scan", song).code == 0

    def refuse(*arguments, **settings):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("mtag.audio.process.subprocess.Popen", refuse)
    assert mtag("scan", song).code == 0
    ended = mtag("scan", encode(tmp_path / "other.flac", tone(11, SR), SR))
    assert ended.code == 3
    assert "no process for decoding can be started" in ended.err


def test_a_mixed_library_is_tagged_and_each_bad_file_is_named(mtag, library):
    encode(library / "odd" / "long.flac", tone(20 * 60, SR), SR)
    ended = mtag("scan", library, "--write-tags", "--json")
    *results, last = ended.records
    assert ended.code == 1
    assert all(result.keys() == KEYS for result in results)
    by_name = {Path(result["path"]).name: result for result in results}
    kinds = {name: result["error"]["kind"] for name, result in by_name.items() if result["error"]}
    assert kinds == {
        "corrupt.mp3": "decode",
        "empty.mp3": "decode",
        "text.mp3": "unsupported",
        "silent.flac": "silent",
        "short.flac": "too-short",
    }
    assert all(result["status"] == "failed" for name, result in by_name.items() if name in kinds)
    good = [result for name, result in by_name.items() if name not in kinds]
    assert len(good) == 9
    for result in good:
        assert (result["status"], result["cached"]) == ("written", False)
        assert (result["genre"], result["comment"]) == (["Rock"], "mtag: guitar, slow")
        assert result["tags"][0] == {"tag": "rock", "score": 0.9, "kind": "genre"}
    summary = last["summary"]
    assert (summary["files"], summary["written"], summary["failed"]) == (14, 9, 5)
    assert summary["failures"] == {"decode": 2, "unsupported": 1, "silent": 1, "too-short": 1}
    assert summary["heard"] == 9
    assert summary["heard_seconds"] == pytest.approx(20 * 60 + 8 * 1.5, abs=2)


def test_plain_mutagen_reads_back_what_was_written(mtag, album):
    assert mtag("scan", album, "--write-tags").code == 0
    for path in album.iterdir():
        told = repr(mutagen.File(path).tags)
        assert "Rock" in told, path
        assert "mtag: guitar, slow" in told, path


def test_a_second_run_writes_nothing_and_listens_to_nothing(mtag, album, tmp_path):
    mtag("scan", album, "--write-tags")
    before = state(album)
    deaf = tmp_path / "deaf"  # the same bundle without its networks: it can name scores, and hear nothing
    deaf.mkdir()
    shutil.copy(Path(os.environ["MTAG_WEIGHTS"]) / "manifest.json", deaf)
    ended = mtag("scan", album, "--write-tags", "--json", "--weights", deaf)
    *results, last = ended.records
    assert ended.code == 0
    assert [(result["status"], result["cached"]) for result in results] == [("unchanged", True)] * 8
    assert (last["summary"]["written"], last["summary"]["heard"]) == (0, 0)
    assert state(album) == before
    assert mtag("scan", album, "--weights", deaf, "--fast").code == 3


def test_without_write_tags_nothing_is_written_and_the_hint_says_how(mtag, album):
    before = state(album)
    ended = mtag("scan", album)
    assert ended.code == 0
    assert state(album) == before
    assert "8 tracks: 8 to write." in ended.out
    assert "run again with --write-tags" in ended.out
    assert "--write-tags" not in mtag("scan", album, "--write-tags").out


def test_a_line_a_track_stands_under_its_folder(mtag, library):
    lines = mtag("scan", library, "--write-tags").out.splitlines()
    assert lines[0] == str(library / "album")
    songs, odd = lines[1:9], lines[10:15]
    assert [line.split()[1] for line in songs] == sorted(path.name for path in (library / "album").iterdir())
    assert len({line.index("Rock") for line in songs}) == 1
    assert all(line.endswith("guitar, slow") for line in songs)
    assert lines[9] == str(library / "odd")
    assert [line.split()[1] for line in odd] == sorted(path.name for path in (library / "odd").iterdir())
    assert "is silent" in odd[3]
    assert lines[16].startswith("13 tracks: 8 written, 5 failed (2 decode, ")


def test_quiet_shows_what_failed_and_the_summary_only(mtag, library):
    out = mtag("scan", library, "--quiet").out
    assert "corrupt.mp3" in out
    assert "song.mp3" not in out
    assert "13 tracks:" in out
    ended = mtag("scan", library / "album", "--quiet", "--json")
    assert len(ended.records) == 9
    assert ended.err == ""


def test_with_json_people_are_told_on_standard_error(mtag, album):
    ended = mtag("scan", album, "--json")
    assert len(ended.records) == 9
    assert "8 tracks: 8 to write." in ended.err


def test_abstaining_is_counted_and_is_no_failure(mtag, album):
    ended = mtag("scan", album, "--write-tags", "--min-score", "0.95")
    assert ended.code == 0
    assert "8 tracks: 8 unchanged, 8 without a sure tag." in ended.out
    assert mtag("scan", album, "--min-score", "0.95", "--json").records[-1]["summary"]["abstained"] == 8


def test_policy_and_top_reach_the_files(mtag, album, tmp_path):
    jazz = write_tiny_bundle(tmp_path / "other", {"classical": 0.9, "piano": 0.9, "harp": 0.8})
    own = mutagen.File(album / "song.flac")
    own["genre"] = "Rock"
    own.save()
    for policy, genres in (("fill", ("Rock",)), ("append", ("Rock", "Classical")), ("replace", ("Classical",))):
        ended = mtag("scan", album / "song.flac", "--write-tags", "--weights", jazz, "--genre", policy, "--top", "1")
        assert ended.code == 0
        assert read_fields(album / "song.flac") == Fields(genres, ("mtag: piano",))


def test_the_run_is_recorded_as_it_was_asked_for(mtag, album, tmp_path):
    place = tmp_path / "mine.db"
    mtag("scan", album, "--write-tags", "--genre", "append", "--catalog", place)
    with Catalog.open(place) as catalog:
        (told,) = catalog.runs()
        assert len(catalog.changes(told.id)) == 8
    asked = json.loads(told.arguments)
    assert (asked["paths"], asked["genre"]) == ([str(album)], "append")
    assert told.finished is not None


@pytest.mark.parametrize("arguments", [["empty"], ["missing"], ["empty", "missing"], ["missing.mp3"]])
def test_where_there_is_nothing_to_do_the_exit_code_is_3(mtag, tmp_path, arguments):
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / argument for argument in arguments]
    assert mtag("scan", *paths).code == 3
    ended = mtag("scan", *paths, "--json")
    assert ended.code == 3
    assert "summary" in ended.records[-1]


def test_no_audio_files_is_said(mtag, tmp_path):
    assert mtag("scan", tmp_path).out == "There are no audio files.\n"


def test_a_missing_path_is_named_and_the_others_are_done(mtag, album, tmp_path):
    ended = mtag("scan", tmp_path / "missing", album, "--write-tags")
    assert ended.code == 1
    assert "missing" in ended.out
    assert "there is no such file or folder" in ended.out
    assert "9 tracks: 8 written, 1 failed (1 unsupported)." in ended.out


def test_weights_that_are_not_there_end_it_with_one_sentence(mtag, album, tmp_path):
    ended = mtag("scan", album, "--weights", tmp_path)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("mtag: no weights bundle")
    assert ended.err.count("\n") == 1


def test_a_genre_that_would_go_is_shown(mtag, album):
    song = album / "song.flac"
    tags = mutagen.File(song)
    tags["genre"] = ["Zydeco", "Rock"]
    tags.save()
    assert "genre was: Zydeco" in mtag("scan", song, "--genre", "replace").out
    assert "genre was" not in mtag("scan", song, "--genre", "append").out
    (record, _) = mtag("scan", song, "--genre", "replace", "--write-tags", "--json").records
    assert (record["genre"], record["genre_before"]) == (["Rock"], ["Zydeco", "Rock"])


@pytest.mark.parametrize("option", [["--genre", "jazz"], ["--jobs", "0"], ["--min-score", "2"], ["--device", "tpu"]])
def test_a_value_that_cannot_be_is_a_usage_error(mtag, album, option):
    ended = mtag("scan", album, *option)
    assert ended.code == 2
    assert option[0] in ended.err


def test_a_damaged_catalog_is_said_once_and_the_scan_goes_on(mtag, album):
    place = Path(os.environ["MTAG_CATALOG"])
    mtag("scan", album)
    place.write_bytes(place.read_bytes()[:10_000])
    ended = mtag("scan", album, "--json")
    assert ended.code == 0
    assert ended.err.count("catalog was damaged") == 1
    assert len(ended.records) == 9
    assert "damaged" not in mtag("scan", album).err


def test_a_hard_linked_file_is_skipped_with_the_reason(mtag, album, tmp_path):
    os.link(album / "song.mp3", tmp_path / "seeded.mp3")
    ended = mtag("scan", album, "--write-tags", "--json")
    (skipped,) = [result for result in ended.records[:-1] if result["status"] == "skipped"]
    assert Path(skipped["path"]).name == "song.mp3"
    assert "hard links" in skipped["error"]["message"]
    assert ended.code == 0
    assert "1 skipped" in ended.err


def settle(text: str) -> Path:
    """Write the configuration that commands find."""
    place = Path(os.environ["MTAG_CONFIG"])
    place.write_text(text, encoding="utf-8")
    return place


def test_the_configuration_settles_defaults_and_the_command_line_counts_more(mtag, album):
    settle("[scan]\nmin-score = 0.95\njson = true\n[defaults]\nfast = true\njobs = 1")
    ended = mtag("scan", album)
    assert ended.records[-1]["summary"]["abstained"] == 8
    assert mtag("scan", album, "--min-score", "0.5").records[-1]["summary"]["abstained"] == 0
    assert mtag("scan", album, "--no-json").out.startswith("8 tracks: 8 unchanged")


def test_words_and_fields_of_ones_own_reach_the_files_and_the_run(mtag, album):
    settle(
        '[vocabulary]\nrename = { rock = "Rock & Roll", slow = "lento" }\nhide = ["guitar"]\n'
        '[fields]\ncomment = ["genre", "mood"]'
    )
    mtag("scan", album / "song.flac", "--write-tags")
    assert read_fields(album / "song.flac") == Fields(("Rock & Roll",), ("mtag: Rock & Roll, lento",))
    with Catalog.open() as catalog:
        (told,) = catalog.runs()
    assert ["lento", "mood", "slow"] in json.loads(told.arguments)["vocabulary"]["words"]


def test_a_changed_configuration_is_applied_to_known_files_without_listening(mtag, album):
    assert {result["status"] for result in mtag("scan", album, "--write-tags", "--json").records[:-1]} == {"written"}
    for text, mood in (
        ('[fields]\nmood = ["mood"]', ["slow"]),
        ('[fields]\nmood = ["mood"]\n[vocabulary]\nrename = { slow = "lento" }', ["lento"]),
        ("", None),
    ):
        settle(text)
        *results, last = mtag("scan", album, "--write-tags", "--json").records
        assert (last["summary"]["written"], last["summary"]["heard"]) == (8, 0)
        assert all((result["cached"], result.get("mood")) == (True, mood) for result in results)
        assert mtag("scan", album, "--write-tags", "--json").records[-1]["summary"]["unchanged"] == 8


def test_moods_and_groupings_are_told_beside_the_comment(mtag, album):
    settle('[fields]\nmood = ["mood"]\ngrouping = ["instrument", "mood"]\ncomment = []')
    line = mtag("scan", album / "song.flac").out.splitlines()[1]
    assert line.split() == ["+", "song.flac", "Rock", "mood:", "slow", "grouping:", "guitar,", "slow"]
    (result, _) = mtag("scan", album / "song.flac", "--json").records
    assert (result["comment"], result["mood"], result["grouping"]) == (None, ["slow"], ["guitar", "slow"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[scan]\njbos = 2", "[scan] jbos: there is no such option; did you mean jobs?"),
        ('[scan]\ngenre = "apend"', '[scan] genre: cannot be "apend"; did you mean append?'),
        ("[predict]\ntop = 51", "[predict] top: has to be a whole number, at least 1, at most 50"),
        ("[vocabulary]\nhide = [", "is not TOML"),
    ],
)
def test_a_mistake_in_the_configuration_costs_no_file(mtag, album, text, complaint):
    place = settle(text)
    before = state(album)
    ended = mtag("scan", album, "--write-tags")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"mtag: {place}: {complaint}")
    assert ended.err.count("\n") == 1
    assert state(album) == before
    assert mtag("scan", "--help").code == 0


def test_another_configuration_can_be_named(mtag, album, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text("[scan]\njson = true", encoding="utf-8")
    settle("[scan]\njson = false")
    assert "summary" in mtag("--config", other, "scan", album).records[-1]
    ended = mtag("--config", tmp_path / "missing.toml", "scan", album)
    assert (ended.code, ended.err) == (2, f"mtag: {tmp_path / 'missing.toml'}: there is no such file\n")


def test_a_player_decides_how_several_genres_are_written(mtag, album, tmp_path):
    two = write_tiny_bundle(tmp_path / "two", {"rock": 0.9, "pop": 0.8, "slow": 0.7})
    for player, genres, moods in (
        ("navidrome", ["Rock", "Pop"], ["slow"]),
        ("windows", ["Rock; Pop"], None),
        ("rekordbox", ["Rock"], None),
    ):
        mtag("scan", album / "song.flac", "--write-tags", "--weights", two, "--for", player)
        tags = mutagen.File(album / "song.flac").tags
        assert (tags.get("genre"), tags.get("mood")) == (genres, moods)
    mutagen.File(album / "song.mp3").delete()  # a tag that is there keeps its version
    mtag("scan", album / "song.mp3", "--write-tags", "--weights", two, "--for", "windows")
    assert mutagen.File(album / "song.mp3").tags.version == (2, 3, 0)


def test_a_player_that_is_not_known_is_a_usage_error_before_anything_is_heard(mtag, album):
    ended = mtag("scan", album, "--for", "rekordbx")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == 'mtag: --for: no player is called "rekordbx"; did you mean rekordbox?\n'


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_any_name_is_told_on_one_line_of_utf_8(mtag, originals, tmp_path):
    names = [b"caf\xe9.mp3", "日本語 🎵.mp3".encode(), b'quote"\n\x1b[31mred.mp3', b"n" * 251 + b".mp3"]
    for name in names:
        shutil.copy(originals / "album" / "song.mp3", os.fsencode(tmp_path) + b"/" + name)
    ended = mtag("scan", tmp_path, "--write-tags", "--json")
    assert ended.code == 0
    told = [Path(result["path"]).name for result in ended.records[:-1]]
    assert told == sorted(["caf\\xe9.mp3", "日本語 🎵.mp3", 'quote"\n\x1b[31mred.mp3', "n" * 251 + ".mp3"])
    lines = mtag("scan", tmp_path, "--genre", "replace", "--top", "1").out.splitlines()
    assert any('quote"\\n\\x1b[31mred.mp3' in line for line in lines)
    assert "\x1b" not in "".join(lines)


def test_a_terminal_that_knows_only_ascii_stops_nothing(album):
    shutil.copy(album / "song.mp3", album / "日本語.mp3")
    running = process("scan", album, env={"PYTHONIOENCODING": "ascii"})
    out, err = running.communicate()
    assert running.returncode == 0, err
    assert "  + song.mp3" in out.decode("ascii")
    assert "\\u65e5\\u672c\\u8a9e.mp3" in out.decode("ascii")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal on Windows")
def test_under_nohup_the_terminals_end_is_ignored(tmp_path):
    song = encode(tmp_path / "00.flac", tone(30, SR), SR)
    for number in range(1, 5):
        shutil.copy(song, tmp_path / f"{number:02}.flac")

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    running = process("scan", tmp_path, "--json", "--jobs", "1", preexec_fn=ignore)
    running.stdout.readline()
    running.send_signal(signal.SIGHUP)
    out, _ = running.communicate()
    assert running.returncode == 0
    assert len(out.splitlines()) == 5


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_output_that_finds_no_room_is_told_as_that(album):
    with open("/dev/full", "wb") as full:
        running = process("tags", stdout=full)
        _, err = running.communicate()
    assert running.returncode == 1
    assert err.decode() == "mtag: the output could not be written ([Errno 28] No space left on device)\n"


def test_a_pipe_that_closes_early_is_no_complaint(album):
    running = process("scan", album, "--json")
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr.read().decode() in ("", "8 tracks: 8 to write.\n")
    running.stderr.close()
    assert running.wait() in (0, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise on Windows")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_who_asks_for_its_end_gets_the_tracks_in_hand_and_a_sum(tmp_path, name):
    song = encode(tmp_path / "00.flac", tone(60, SR), SR)
    for number in range(1, 40):
        shutil.copy(song, tmp_path / f"{number:02}.flac")
    asking = signal.Signals[name]

    def heed() -> None:
        signal.signal(asking, signal.SIG_DFL)  # it may be ignored here, as under nohup

    running = process("scan", tmp_path, "--write-tags", "--json", "--jobs", "1", preexec_fn=heed)
    lines = [running.stdout.readline()]
    running.send_signal(asking)
    out, err = running.communicate()
    *results, last = map(json.loads, [*lines, *out.splitlines()])
    assert running.returncode == 130
    assert last["summary"]["interrupted"]
    assert 1 <= len(results) == last["summary"]["written"] < 40
    assert b"Interrupted" in err
    assert b"Traceback" not in err
    written = {Path(result["path"]) for result in results}
    for path in tmp_path.glob("*.flac"):
        assert (read_fields(path) != Fields()) == (path in written)
    assert not list(tmp_path.glob(".*"))

from pathlib import Path

import mutagen
import numpy as np
import pytest

from mtag.audio.decode import read_blocks
from mtag.constants import SAMPLE_RATE
from tests.music.score import clock, line, pitch

HERE = Path(__file__).parent
PIECES = sorted(path for path in HERE.iterdir() if path.suffix in {".flac", ".m4a", ".mp3", ".ogg", ".opus"})


def test_six_pieces_ship_in_five_formats_and_stay_small():
    assert len(PIECES) == 6
    assert len({path.suffix for path in PIECES}) == 5
    assert sum(path.stat().st_size for path in PIECES) < 2_000_000


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.name)
def test_a_shipped_piece_fills_most_of_one_window_with_sound(path):
    samples = np.concatenate(list(read_blocks(path)))
    assert 20 < samples.size / SAMPLE_RATE < 29.1
    assert 20 * np.log10(samples.std()) > -30
    assert np.abs(samples).max() < 1.05


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.name)
def test_a_shipped_piece_has_title_and_artist_but_leaves_genre_and_comment_to_mtag(path):
    easy = mutagen.File(path, easy=True)
    assert easy["title"][0]
    assert easy["artist"] == ["mtag"]
    assert not {
        key
        for key in mutagen.File(path)
        if key.lower().startswith(("genre", "comment", "tcon", "comm", "©gen", "©cmt"))
    }


def test_the_two_mp3_pieces_have_one_id3_version_each():
    assert {mutagen.File(path).tags.version[:2] for path in PIECES if path.suffix == ".mp3"} == {(2, 3), (2, 4)}


def test_the_notation_reads_chords_rests_and_lengths():
    notes = line("C4+Eb4/2 r/1 | F#5/.5", unit=0.5)
    assert [(n.start, n.length, n.pitch) for n in notes] == [(0, 1, 60), (0, 1, 63), (1.5, 0.25, 78)]


def test_an_unknown_note_name_is_refused():
    with pytest.raises(ValueError, match="H4 is not a note"):
        pitch("H4")


def test_a_steady_clock_gives_sixty_beats_a_minute():
    assert clock([(0, 60), (32, 60)])(10) == pytest.approx(10, abs=0.02)

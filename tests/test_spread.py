"""A few windows spread over a track: the right places, in every format that can be sought in."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mtag.audio.decode import read_blocks
from mtag.audio.decoders import Decoders
from mtag.audio.spread import read_spread
from mtag.audio.windows import SpreadReader, WindowReader, level
from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES, WINDOW_SECONDS
from mtag.errors import FailureKind, FileError
from tests.encoding import encode

SR = 16_000  # Hz; what is quick to encode
SECONDS = 240
HZ_A_SECOND = 20  # the pitch tells the time: 400 Hz at the start, 5,200 Hz at the end
FIRST_HZ = 400


def rising_tone(seconds=SECONDS, sr=SR):
    t = np.arange(seconds * sr) / sr
    return (0.5 * np.sin(2 * np.pi * (FIRST_HZ * t + HZ_A_SECOND * t * t / 2))).astype(np.float32)


def second_of(samples):
    """Second of the track at which a window's first half second was heard."""
    start = samples[: SAMPLE_RATE // 2]
    hz = np.abs(np.fft.rfft(start * np.hanning(start.size))).argmax() * SAMPLE_RATE / start.size
    return (hz - FIRST_HZ) / HZ_A_SECOND - 0.25


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Give a function that encodes the rising tone, once for each suffix."""
    folder = tmp_path_factory.mktemp("songs")

    def song(suffix):
        path = folder / f"song{suffix}"
        return path if path.exists() else encode(path, rising_tone(), SR)

    return song


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".alac.m4a", ".wav", ".wma", ".wv"])
def test_windows_lie_in_the_middle_of_equal_parts(songs, suffix):
    stretches = list(read_spread(songs(suffix), 3))
    assert len(stretches) == 3
    for number, (window, seconds) in enumerate(stretches):
        assert (window.shape, window.dtype) == ((WINDOW_SAMPLES,), np.float32)
        assert seconds == pytest.approx(SECONDS, abs=0.2)
        middle = (number + 0.5) * SECONDS / 3
        assert second_of(window) == pytest.approx(middle - WINDOW_SECONDS / 2, abs=3)  # WavPack is sought in steps
        assert level(window) == pytest.approx(-9, abs=0.6)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg"])
def test_a_window_found_by_seeking_sounds_as_the_whole_track_does_there(songs, suffix):
    whole = np.concatenate(list(read_blocks(songs(suffix))))
    window = list(read_spread(songs(suffix), 2))[1].window
    guess = round(second_of(window) * SAMPLE_RATE)
    near = whole[guess - SAMPLE_RATE : guess + SAMPLE_RATE + WINDOW_SAMPLES]
    piece = window[: 4 * SAMPLE_RATE]
    spectrum = np.fft.rfft(near, 2 * near.size) * np.conj(np.fft.rfft(piece, 2 * near.size))
    at = int(np.fft.irfft(spectrum).argmax())
    match = near[at : at + piece.size]
    assert np.corrcoef(match, piece)[0, 1] > 0.99


def test_a_track_that_is_hardly_longer_than_the_windows_is_heard_as_a_whole(songs):
    path = songs(".flac")
    assert list(read_spread(path, 8)) == []
    np.testing.assert_array_equal(list(SpreadReader(path, 8)), list(WindowReader(path)))


@pytest.mark.parametrize("suffix", [".aac"])
def test_a_stream_without_an_index_is_heard_somehow(songs, suffix):
    reader = SpreadReader(songs(suffix), 3)
    windows = list(reader)
    assert len(windows) in (3, len(list(WindowReader(songs(suffix)))))
    assert reader.duration == pytest.approx(SECONDS, rel=0.2)


def test_silent_windows_are_left_out_and_a_track_silent_in_all_of_them_is_heard_as_a_whole(tmp_path):
    sound = rising_tone()
    third = sound.size // 3
    sound[:third] = 0
    path = encode(tmp_path / "quiet start.flac", sound, SR)
    assert len(list(SpreadReader(path, 3))) == 2
    sound[third + 5 * SR :] = 0  # what is left lies between two windows
    path = encode(tmp_path / "quiet.flac", sound, SR)
    reader = SpreadReader(path, 3)
    assert [round(level(window)) for window in reader] == [round(level(window)) for window in WindowReader(path)]
    assert reader.duration == SECONDS


def test_a_truncated_track_gives_what_there_is(songs, tmp_path):
    content = songs(".flac").read_bytes()
    path = tmp_path / "cut.flac"
    path.write_bytes(content[: len(content) // 2])
    windows = list(SpreadReader(path, 3))
    assert windows
    assert all(window.shape == (WINDOW_SAMPLES,) for window in windows)


def test_what_is_no_music_is_refused_as_ever(tmp_path):
    path = tmp_path / "song.mp3"
    path.write_text("no music")
    with pytest.raises(FileError) as caught:
        list(SpreadReader(path, 3))
    assert caught.value.kind is FailureKind.UNSUPPORTED


def test_another_process_gives_the_same_windows(songs, tmp_path):
    path = shutil.copy(songs(".mp3"), tmp_path / "song.mp3")
    with Decoders() as decoders:
        there = list(decoders.read_spread(path, 3))
    here = list(read_spread(path, 3))
    assert [stretch.track_seconds for stretch in there] == [stretch.track_seconds for stretch in here]
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one.window, other.window)

"""Decoding: every format, channel count and rate comes out as the same 16 kHz mono, cut into the same windows."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from mtag.audio import windows
from mtag.audio.decode import read_blocks
from mtag.audio.windows import WindowReader, level, slice_windows
from mtag.constants import SAMPLE_RATE, WINDOW_SAMPLES, WINDOW_SECONDS
from tests.encoding import RECIPES, encode, noise, tone

FIXTURES = Path(__file__).parent / "fixtures"
SURROUND = (".flac", ".opus", ".m4a", ".wav", ".aiff", ".ogg", ".mka")
LEVEL_OF_HALF_SCALE = 20 * np.log10(0.5 / np.sqrt(2))  # dBFS of a sine of amplitude 0.5


def decode(path):
    return np.concatenate(list(read_blocks(path)))


def loudest_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return spectrum.argmax() * SAMPLE_RATE / samples.size


# Formats


@pytest.mark.parametrize("suffix", [*RECIPES, ".ogg"])
def test_every_format_keeps_length_level_and_pitch(tmp_path, suffix):
    samples = decode(encode(tmp_path / f"song{suffix}", np.stack([tone(3, amplitude=0.6), tone(3, amplitude=0.4)])))
    assert samples.dtype == np.float32
    assert samples.size / SAMPLE_RATE == pytest.approx(3, abs=2 * 2048 / 44100)
    assert level(samples) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.5)
    assert loudest_hz(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("name", ["tone.ape", "tone.mpc"])
def test_formats_that_nothing_here_can_write_are_read_too(name):
    """Both hold two seconds of a 440 Hz sine of amplitude 0.5, by Monkey's Audio (8 kHz) and mpcenc (32 kHz)."""
    samples = decode(FIXTURES / name)
    assert samples.size / SAMPLE_RATE == pytest.approx(2, abs=1152 / 32000)
    assert level(samples) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.1)
    assert loudest_hz(samples) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("sr", [8_000, 11_025, 16_000, 22_050, 32_000, 48_000, 88_200, 96_000, 176_400, 192_000])
def test_every_sample_rate_keeps_length_level_and_pitch(tmp_path, sr):
    samples = decode(encode(tmp_path / "song.24.wav", tone(2, sr), sr))
    assert samples.size == pytest.approx(2 * SAMPLE_RATE, abs=1)
    assert level(samples) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.05)
    assert loudest_hz(samples) == pytest.approx(440, abs=1)


def test_the_end_of_an_mp3_is_cut_to_its_gapless_length(tmp_path):
    assert decode(encode(tmp_path / "song.mp3", tone(2.5))).size == 2.5 * SAMPLE_RATE


# Mixing and resampling


@pytest.mark.parametrize("n_channels", [1, 2, 6, 8])
def test_mono_is_the_mean_of_all_channels(tmp_path, n_channels):
    channels = np.stack([noise(2, SAMPLE_RATE, seed=channel) for channel in range(n_channels)])
    samples = decode(encode(tmp_path / "song.float.wav", channels, SAMPLE_RATE))
    np.testing.assert_allclose(samples, channels.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("suffix", SURROUND)
def test_surround_is_mixed_at_the_same_level_in_every_format(tmp_path, suffix):
    samples = decode(
        encode(tmp_path / f"song{suffix}", np.tile(tone(2, hz=80), (6, 1)))
    )  # AAC keeps the LFE below 120 Hz
    assert level(samples) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.5)


def test_an_unusual_channel_layout_does_not_kill_the_process(tmp_path):
    path = encode(tmp_path / "song.aiff", np.tile(tone(2), (8, 1)))
    code = "import sys, pathlib; from mtag.audio.decode import read_blocks\n"
    code += "for _ in range(5): print(sum(map(len, read_blocks(pathlib.Path(sys.argv[1])))))"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["32000"] * 5, "")


def test_resampling_is_soxrs_whatever_the_block_size(tmp_path):
    samples = noise(5)
    expected = soxr.resample(samples, 44100, SAMPLE_RATE)
    np.testing.assert_allclose(decode(encode(tmp_path / "song.float.wav", samples)), expected, atol=1e-5)


@pytest.mark.parametrize("hz", [8_200, 9_000, 12_000, 20_000])
def test_what_lies_above_eight_kilohertz_is_gone(tmp_path, hz):
    samples = decode(encode(tmp_path / "song.float.wav", tone(2, hz=hz)))
    assert level(samples[1600:-1600]) < LEVEL_OF_HALF_SCALE - 90


@pytest.mark.parametrize("hz", [30, 1_000, 7_000])
def test_what_lies_below_seven_kilohertz_keeps_its_level(tmp_path, hz):
    samples = decode(encode(tmp_path / "song.float.wav", tone(2, hz=hz)))
    assert level(samples[1600:-1600]) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.05)


def test_samples_that_are_no_numbers_read_as_zero(tmp_path):
    channels = np.stack([tone(2, SAMPLE_RATE), tone(2, SAMPLE_RATE)])
    channels[0, 100:200] = np.nan
    channels[1, 300:310] = [np.inf, -np.inf] * 5
    channels[:, 400] = 3e38
    samples = decode(encode(tmp_path / "song.float.wav", channels, SAMPLE_RATE))
    bad = np.r_[100:200, 300:310, 400]
    assert not samples[bad].any()
    np.testing.assert_allclose(np.delete(samples, bad), np.delete(channels[0], bad), atol=1e-6)


def test_overshoots_are_not_clipped(tmp_path):
    samples = decode(encode(tmp_path / "song.float.wav", tone(1, SAMPLE_RATE, amplitude=1.5), SAMPLE_RATE))
    assert samples.max() == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp3", ".aac"])
def test_rate_and_channels_may_change_in_the_middle(tmp_path, suffix):
    first = encode(tmp_path / f"first{suffix}", tone(3)).read_bytes()
    second = encode(tmp_path / f"second{suffix}", np.tile(tone(3, 22050, 1_000), (2, 1)), 22050).read_bytes()
    both = tmp_path / f"both{suffix}"
    both.write_bytes(first + second)
    samples = decode(both)
    assert samples.size / SAMPLE_RATE == pytest.approx(6, abs=0.2)
    assert loudest_hz(samples[: 2 * SAMPLE_RATE]) == pytest.approx(440, abs=1)
    assert loudest_hz(samples[-2 * SAMPLE_RATE :]) == pytest.approx(1_000, abs=1)


def test_a_chained_ogg_is_heard_through(tmp_path):
    links = [encode(tmp_path / f"{hz}.ogg", tone(3, hz=hz)).read_bytes() for hz in (440, 1_000)]
    path = tmp_path / "chained.ogg"
    path.write_bytes(b"".join(links))
    samples = decode(path)
    assert samples.size / SAMPLE_RATE == pytest.approx(6, abs=0.1)
    assert loudest_hz(samples[-2 * SAMPLE_RATE :]) == pytest.approx(1_000, abs=1)


def test_a_chained_ogg_whose_links_differ_gives_at_least_its_first_link(tmp_path):
    links = [encode(tmp_path / f"{sr}.ogg", tone(3, sr), sr).read_bytes() for sr in (44100, 22050)]
    path = tmp_path / "chained.ogg"
    path.write_bytes(b"".join(links))
    samples = decode(path)  # what comes after it depends on FFmpeg's version
    assert samples.size / SAMPLE_RATE > 2.9
    assert level(samples) == pytest.approx(LEVEL_OF_HALF_SCALE, abs=0.5)


def test_threads_decode_side_by_side_to_the_same_samples(tmp_path):
    path = encode(tmp_path / "song.mp3", noise(3))
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(decode, [path] * 8)
    assert all(np.array_equal(first, other) for other in others)


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = encode(tmp_path / "long.8.wav", np.tile(tone(60, 8000), 6), 8000)
    tracemalloc.start()
    n_samples = sum(block.size for block in read_blocks(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_samples == 6 * 60 * SAMPLE_RATE
    assert peak < 4_000_000  # bytes; the whole of it is 23 MB


# Windows


def reference_windows(samples, size, min_rest):
    """Cut windows from a whole array, as the rule is worded."""
    if samples.size < size:
        return [np.resize(samples, size)] if samples.size else []
    windows = [samples[i : i + size] for i in range(0, samples.size - size + 1, size)]
    return [*windows, samples[-size:]] if samples.size % size >= min_rest else windows


@given(st.lists(st.integers(0, 60), max_size=12))
def test_windows_follow_the_rule_whatever_the_block_sizes(sizes):
    samples = np.arange(sum(sizes), dtype=np.float32)
    blocks = np.split(samples, np.cumsum(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "WINDOW_SAMPLES", 40)
        patch.setattr(windows, "MIN_REST_SAMPLES", 10)
        cut = list(slice_windows(blocks))
    expected = reference_windows(samples, 40, 10)
    assert len(cut) == len(expected)
    for window, wanted in zip(cut, expected, strict=True):
        np.testing.assert_array_equal(window, wanted)


@pytest.mark.parametrize(
    ("n_samples", "n_windows"),
    [
        (0, 0),
        (1, 1),
        (WINDOW_SAMPLES, 1),
        (WINDOW_SAMPLES + 116_399, 1),
        (WINDOW_SAMPLES + 116_400, 2),
        (2 * WINDOW_SAMPLES, 2),
    ],
)
def test_a_rest_of_a_quarter_window_gives_one_more(n_samples, n_windows):
    windows = list(slice_windows([np.ones(n_samples, np.float32)]))
    assert len(windows) == n_windows
    assert all(window.shape == (465_600,) and window.dtype == np.float32 for window in windows)


def test_windows_come_while_the_stream_goes_on():
    endless = repeat(np.ones(10_000, np.float32))
    assert len(list(islice(slice_windows(endless), 3))) == 3


def test_a_window_stays_as_it_was_when_the_next_is_taken():
    blocks = (np.full(WINDOW_SAMPLES, value, np.float32) for value in (1, 2, 3))
    assert [window[0] for window in list(slice_windows(blocks))] == [1, 2, 3]


def test_silent_windows_are_left_out(tmp_path):
    sound = tone(WINDOW_SECONDS, SAMPLE_RATE)
    silence = np.zeros_like(sound)
    path = encode(tmp_path / "song.wav", np.concatenate([sound, silence, 0.5 * sound, silence]), SAMPLE_RATE)
    reader = WindowReader(path)
    assert [round(level(window), 1) for window in reader] == [-9.0, -15.1]
    assert reader.duration == pytest.approx(4 * WINDOW_SECONDS)


def test_a_short_track_is_repeated_and_keeps_its_true_duration(tmp_path):
    reader = WindowReader(encode(tmp_path / "song.float.wav", noise(1.5, SAMPLE_RATE), SAMPLE_RATE))
    (window,) = reader
    assert reader.duration == 1.5
    np.testing.assert_array_equal(window[:24_000], window[24_000:48_000])


def test_a_reader_left_early_closes_its_file(tmp_path):
    path = encode(tmp_path / "song.wav", tone(2))
    blocks = read_blocks(path)
    first = next(blocks)
    blocks.close()
    assert first.size
    path.rename(tmp_path / "renamed.wav")  # an open file would stop this on Windows
    assert decode(tmp_path / "renamed.wav").size == 2 * SAMPLE_RATE


def test_level_is_rms_relative_to_full_scale():
    assert level(np.ones(100, np.float32)) == pytest.approx(0)
    assert level(tone(1, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert level(np.zeros(100, np.float32)) == -np.inf


def test_reading_the_windows_equals_slicing_the_blocks(tmp_path):
    path = encode(tmp_path / "song.flac", noise(40, SAMPLE_RATE), SAMPLE_RATE)
    np.testing.assert_array_equal(list(WindowReader(path)), list(slice_windows([decode(path)])))

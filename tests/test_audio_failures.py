"""Damaged, foreign and oddly named files: what can be heard is heard, and all else is said in one sentence."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from io import FileIO
from pathlib import Path

import av
import numpy as np
import pytest

from mtag.audio.decode import packet_digest, read_blocks
from mtag.audio.windows import WindowReader, level
from mtag.constants import SAMPLE_RATE
from mtag.errors import FailureKind, FileError
from tests.encoding import encode, noise, tone

RANDOM = np.random.default_rng(0).bytes(200_000)


def failure(path):
    """Give the kind and the reason with which a file is refused."""
    with pytest.raises(FileError) as caught:
        list(WindowReader(path))
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    return caught.value.kind, caught.value.reason


def encoded(folder, suffix, samples):
    return encode(folder / f"source{suffix}", samples).read_bytes()


def overwritten(data, start, n_bytes):
    return data[:start] + RANDOM[:n_bytes] + data[start + n_bytes :]


# Nothing to hear

FOREIGN = {
    "text": b"This is no music, it only says so.\n" * 500,
    "text in UTF-16": ("This is no music.\n" * 500).encode("utf-16"),
    "text in Latin-1": "Gedämpfte Ödnis über ÿÿûûüü ".encode("latin-1") * 500,
    "random bytes": RANDOM,
    "zeros": bytes(200_000),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + RANDOM[:1000],
    "an archive": b"PK\x03\x04" + RANDOM[:1000],
    "a playlist of other files": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    "a list of files to join": b"ffconcat version 1.0\nfile 'song.mp3'\n",
    "subtitles": b"1\n00:00:00,000 --> 00:00:01,000\nla la\n",
    "one byte": b"x",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_music_is_unsupported_whatever_its_name(tmp_path, content):
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    assert failure(path) == (FailureKind.UNSUPPORTED, "is not a music file")


def test_an_empty_file_is_empty(tmp_path):
    path = tmp_path / "song.mp3"
    path.touch()
    assert failure(path) == (FailureKind.DECODE, "is empty")


@pytest.mark.parametrize("size", [b"\0\0\0\x0a", b"\x7f\x7f\x7f\x7f"], ids=["whole", "cut off"])
def test_a_tag_without_audio_is_no_track(tmp_path, size):
    path = tmp_path / "song.mp3"
    path.write_bytes(b"ID3\x04\0\0" + size + bytes(10))
    assert failure(path) == (FailureKind.DECODE, "holds tags but no audio")


@pytest.mark.parametrize(("suffix", "n_bytes"), [(".m4a", 2000), (".flac", 30), (".ogg", 100), (".wav", 60)])
def test_a_file_cut_off_in_its_header_is_damaged(tmp_path, suffix, n_bytes):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(encoded(tmp_path, suffix, tone(2))[:n_bytes])
    assert failure(path) == (FailureKind.DECODE, "is damaged: its header cannot be read")


def test_a_file_whose_audio_is_all_broken_is_damaged(tmp_path):
    path = tmp_path / "song.flac"
    path.write_bytes(encoded(tmp_path, ".flac", tone(2))[:8300] + RANDOM[:20_000])
    assert failure(path) == (FailureKind.DECODE, "is damaged: none of its audio can be decoded")


def test_a_film_without_sound_has_no_audio_stream(tmp_path):
    path = tmp_path / "film.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    assert failure(path) == (FailureKind.UNSUPPORTED, "has no audio stream")


def test_a_codec_that_nobody_knows_is_unsupported(tmp_path):
    path = tmp_path / "song.wav"
    whole = encoded(tmp_path, ".wav", tone(2))
    path.write_bytes(whole[:20] + b"\x34\x12" + whole[22:])  # the format tag
    assert failure(path) == (FailureKind.UNSUPPORTED, "holds audio in a codec that cannot be decoded")


def test_copy_protected_music_is_unsupported(tmp_path):
    path = tmp_path / "song.m4a"
    path.write_bytes(encoded(tmp_path, ".m4a", tone(2)).replace(b"mp4a", b"drms"))
    assert failure(path) == (FailureKind.UNSUPPORTED, "is copy-protected")


def test_a_track_under_a_second_is_too_short(tmp_path):
    path = encode(tmp_path / "song.flac", tone(0.999))
    assert failure(path) == (FailureKind.TOO_SHORT, "lasts 0.99 s; 1 s is the shortest that can be judged")
    assert len(list(WindowReader(encode(tmp_path / "song.flac", tone(1.0))))) == 1


@pytest.mark.parametrize("suffix", [".mp3", ".opus", ".m4a"])
def test_a_blip_is_too_short_rather_than_unknown(tmp_path, suffix):
    kind, _ = failure(encode(tmp_path / f"song{suffix}", tone(0.05)))
    assert kind is FailureKind.TOO_SHORT


@pytest.mark.parametrize("amplitude", [0.0, 0.001])
def test_a_track_that_stays_under_minus_sixty_decibels_is_silent(tmp_path, amplitude):
    path = encode(tmp_path / "song.24.flac", tone(40, amplitude=amplitude))
    assert failure(path) == (FailureKind.SILENT, "is silent: nothing in it reaches -60 dBFS")


# Nothing to open


def test_a_missing_file_does_not_exist(tmp_path):
    assert failure(tmp_path / "song.mp3") == (FailureKind.UNSUPPORTED, "does not exist")


def test_a_folder_is_no_file(tmp_path):
    assert failure(tmp_path) == (FailureKind.UNSUPPORTED, "is a folder, not a file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "song.mp3")
    assert failure(tmp_path / "song.mp3") == (FailureKind.UNSUPPORTED, "is a device or pipe, not a file")


def test_a_file_that_may_not_be_read_is_a_matter_of_permission(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    path = encode(tmp_path / "song.wav", tone(2))
    monkeypatch.setattr("mtag.audio.decode.FileIO", refuse)
    assert failure(path) == (FailureKind.PERMISSION, "cannot be read (permission denied)")


def test_a_disk_that_fails_while_reading_is_named(tmp_path, monkeypatch):
    class FailingFile(FileIO):
        def read(self, size=-1):
            if self.tell() > 1_000_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    path = encode(tmp_path / "song.wav", tone(30))
    monkeypatch.setattr("mtag.audio.decode.FileIO", FailingFile)
    assert failure(path) == (FailureKind.DECODE, "cannot be read (Input/output error)")


# Damage in the middle


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a", ".ogg", ".opus", ".wma", ".wv", ".aac", ".mka"])
def test_broken_packets_in_the_middle_are_skipped(tmp_path, suffix):
    whole = encoded(tmp_path, suffix, 0.1 * noise(20) + tone(20))
    path = tmp_path / f"song{suffix}"
    path.write_bytes(overwritten(whole, len(whole) * 8 // 15, 3000))
    reader = WindowReader(path)
    (window,) = reader
    assert 14 < reader.duration < 20.2
    assert level(window) == pytest.approx(-9, abs=1.5)


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".wav", ".aiff", ".wma", ".wv", ".aac", ".mka"])
def test_the_first_half_of_a_truncated_file_is_heard(tmp_path, suffix):
    whole = encoded(tmp_path, suffix, noise(20))
    path = tmp_path / f"song{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    reader = WindowReader(path)
    assert len(list(reader)) == 1
    assert 8 < reader.duration < 12


def test_damage_leaves_standard_error_alone(tmp_path, capfd):
    whole = encoded(tmp_path, ".mp3", noise(5))
    path = tmp_path / "song.mp3"
    path.write_bytes(RANDOM[:3000] + overwritten(whole, 20_000, 3000))
    assert list(read_blocks(path))
    assert capfd.readouterr() == ("", "")


def test_a_header_that_asks_for_an_impossible_offset_says_nothing_but_its_sentence(tmp_path, capfd):
    whole = bytearray(encoded(tmp_path, ".m4a", tone(2)))
    table = whole.index(b"stco")
    whole[table + 12 : table + 16] = b"\xff\xff\xff\xff"
    path = tmp_path / "song.m4a"
    path.write_bytes(whole)
    kind, _ = failure(path)
    assert kind is FailureKind.DECODE
    assert capfd.readouterr() == ("", "")


# Odd names and company


@pytest.mark.parametrize(
    "name",
    [
        "-",
        "-y.mp3",
        "pipe:0",
        "http:song.mp3",
        "concat:a|b.mp3",
        "file:song.mp3",
        "song%03d.mp3",
        "two\nlines.mp3",
        "\N{MUSICAL NOTE}.mp3",
        "no suffix",
        "wrong suffix.flac",
        "x" * 255,
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such names")
def test_a_name_is_never_more_than_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "song.mp3", tone(2)).rename(tmp_path / name)
    assert len(list(WindowReader(Path(name)))) == 1
    assert len(packet_digest(Path(name))) == 64


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes names that are not UTF-8")
def test_a_name_that_is_not_utf8_opens(tmp_path):
    path = tmp_path / os.fsdecode(b"Bj\xf6rk \xff.mp3")
    encode(tmp_path / "song.mp3", tone(2)).rename(path)
    assert len(list(WindowReader(path))) == 1


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".aac"])
def test_a_tag_bigger_than_ffmpeg_looks_is_stepped_over(tmp_path, suffix):
    n = 3_000_000
    head = b"ID3\x04\0\0" + bytes([n >> 21 & 127, n >> 14 & 127, n >> 7 & 127, n & 127]) + RANDOM * 15
    path = tmp_path / f"song{suffix}"
    path.write_bytes(head + encoded(tmp_path, suffix, tone(2)))
    assert sum(map(len, read_blocks(path))) == pytest.approx(2 * SAMPLE_RATE, abs=2 * 1024)


def test_metadata_that_is_not_utf8_does_no_harm(tmp_path):
    whole = encoded(tmp_path, ".wav", tone(2))
    info = b"INFOINAM\x06\0\0\0Bj\xf6rk\0"
    path = tmp_path / "song.wav"
    path.write_bytes(whole + b"LIST" + len(info).to_bytes(4, "little") + info)
    assert sum(map(len, read_blocks(path))) == 2 * SAMPLE_RATE


def test_the_sound_of_a_film_is_heard(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("mpeg4", rate=25), container.add_stream("aac", rate=44100)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for n in range(50):
            container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
            samples = tone(0.04)[None]
            frame = av.AudioFrame.from_ndarray(np.tile(samples, (2, 1)), "fltp", "stereo")
            frame.sample_rate, frame.pts = 44100, n * samples.size
            container.mux(sound.encode(frame))
        container.mux([*video.encode(None), *sound.encode(None)])
    assert sum(map(len, read_blocks(path))) == pytest.approx(2 * SAMPLE_RATE, abs=2 * 1024)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_sizes_that_a_damaged_header_claims_take_no_memory(tmp_path):
    path = encode(tmp_path / "claims.wav", tone(0.5))
    text = b"INFO" + struct.pack("<4sI", b"INAM", 0x60000000) + b"title"
    path.write_bytes(path.read_bytes() + struct.pack("<4sI", b"LIST", 0xFFFFFFFF) + text)
    code = (
        "import sys; from pathlib import Path; from mtag.audio.decode import packet_digest, read_blocks\n"
        "for act in packet_digest, lambda path: list(read_blocks(path)):\n"
        "    try: act(Path(sys.argv[1]))\n"
        "    except Exception as error: print(error, file=sys.stderr)\n"
        # Unlike ru_maxrss, this knows nothing of the process that started this one.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 500_000  # KB

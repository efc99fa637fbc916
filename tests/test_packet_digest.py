"""The digest of a file's audio: blind to tags and covers, and to nothing else."""

from __future__ import annotations

import os
import shutil
from io import FileIO
from pathlib import Path

import mutagen
import numpy as np
import pytest
from mutagen import apev2, flac, id3, mp4

from mtag.audio import decode, payload
from mtag.audio.decode import packet_digest, read_blocks
from mtag.errors import FailureKind, FileError
from tests.encoding import encode, noise, tone

FIXTURES = Path(__file__).parent / "fixtures"
COVER = b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(100_000)  # random bytes hold many an MPEG sync word
TAGGED = [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".alac.m4a", ".wav", ".aiff", ".wma", ".wv", ".tta"]


def add_tags(path):
    """Write a text, and a cover wherever plain mutagen can, making the tags longer than before."""
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, id3.ID3):
        file.tags.add(id3.TCON(text=["Rock"]))
        file.tags.add(id3.APIC(mime="image/jpeg", type=3, data=COVER))
    elif isinstance(file.tags, apev2.APEv2):
        file.tags["Genre"] = "Rock"
        file.tags["Cover Art (Front)"] = apev2.APEValue(b"cover.jpg\0" + COVER, apev2.BINARY)
    elif isinstance(file.tags, mp4.MP4Tags):
        file.tags["\xa9gen"] = ["Rock"]
        file.tags["covr"] = [mp4.MP4Cover(COVER)]
    else:
        file.tags["genre"] = ["Rock" * 10_000]
    if isinstance(file, flac.FLAC):
        picture = flac.Picture()
        picture.data = COVER
        file.add_picture(picture)
    file.save()


@pytest.fixture(params=[*TAGGED, "tone.ape", "tone.mpc"])
def song(request, tmp_path):
    """Give a file of each kind that can be tagged."""
    path = tmp_path / f"song{request.param}"
    if (FIXTURES / request.param).exists():
        return Path(shutil.copy(FIXTURES / request.param, path))
    return encode(path, np.stack([tone(2), noise(2)]))


def test_tags_and_covers_leave_the_digest_and_the_audio_alone(song):
    digest, audio = packet_digest(song), np.concatenate(list(read_blocks(song)))
    size = song.stat().st_size
    add_tags(song)
    assert song.stat().st_size > size + 10_000
    assert packet_digest(song) == digest
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(song))), audio)
    mutagen.File(song).delete()
    assert packet_digest(song) == digest


def test_one_changed_byte_of_audio_changes_the_digest(song):
    digest = packet_digest(song)
    content = bytearray(song.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    song.write_bytes(content)
    assert packet_digest(song) != digest


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff", ".wma", ".wv", ".tta"])
def test_missing_audio_changes_the_digest(tmp_path, suffix):
    long, short = (encode(tmp_path / f"{seconds}{suffix}", tone(seconds)) for seconds in (3, 2))
    assert packet_digest(long) != packet_digest(short)


def test_tags_behind_the_audio_are_no_audio(tmp_path):
    path = encode(tmp_path / "song.mp3", noise(2))
    digest, audio = packet_digest(path), np.concatenate(list(read_blocks(path)))
    tags = apev2.APEv2()
    tags["Cover Art (Front)"] = apev2.APEValue(COVER, apev2.BINARY)
    tags.save(path)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))  # ID3v1 behind APEv2, as many old files have it
    assert packet_digest(path) == digest
    np.testing.assert_array_equal(np.concatenate(list(read_blocks(path))), audio)


@pytest.mark.parametrize("size", [b"\xff\xff\xff\xff", b"\0\0\0\0"])
def test_a_tail_tag_of_an_impossible_size_is_left_where_it_is(tmp_path, size):
    path = encode(tmp_path / "song.mp3", tone(2))
    footer = b"APETAGEX" + bytes([0xD0, 7, 0, 0]) + size + bytes(16)
    path.write_bytes(path.read_bytes() + footer)
    assert sum(map(len, read_blocks(path))) == pytest.approx(32_000, abs=1000)


def test_the_same_audio_in_another_place_has_the_same_digest(tmp_path):
    path = encode(tmp_path / "song.flac", tone(2))
    assert packet_digest(shutil.copy(path, tmp_path / "copy.mp3")) == packet_digest(path)


def test_the_digest_is_of_the_packets_even_where_they_cannot_be_decoded(tmp_path):
    path = encode(tmp_path / "song.flac", noise(5))
    content = path.read_bytes()
    path.write_bytes(content[:60_000] + COVER[:5_000] + content[65_000:])
    assert packet_digest(path) == packet_digest(path)
    assert len(packet_digest(path)) == 64


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav", ".aiff", ".wma", ".wv", ".tta"])
def test_signs_of_life_come_all_along_even_if_the_end_is_read_first(tmp_path, monkeypatch, suffix):
    path = encode(tmp_path / f"song{suffix}", noise(20))
    stretch = path.stat().st_size // 16
    monkeypatch.setattr(payload, "STRETCH_BYTES", stretch)
    monkeypatch.setattr(decode, "READ_BYTES", 4096)
    signs = []
    packet_digest(path, lambda: signs.append(None))
    assert 15 <= len(signs) <= 17


def test_reading_the_same_again_and_again_is_no_sign_of_life(tmp_path):
    (tmp_path / "song.mp3").write_bytes(bytes(3 * payload.STRETCH_BYTES))
    signs = []
    with FileIO(tmp_path / "song.mp3") as file:
        reader = payload.Payload(file, lambda: signs.append(None))
        for _ in range(10):
            reader.seek(0, os.SEEK_SET)
            while reader.read(1000):
                pass
    assert len(signs) == 3


def test_a_file_without_audio_has_no_digest(tmp_path):
    path = tmp_path / "song.mp3"
    path.write_text("no music")
    with pytest.raises(FileError) as caught:
        packet_digest(path)
    assert caught.value.kind is FailureKind.UNSUPPORTED

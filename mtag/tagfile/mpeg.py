"""MP3 and AAC streams, which bear ID3 tags at their front, and how to know such a stream when seeing one."""

from __future__ import annotations

import contextlib
from typing import BinaryIO

from mtag.copying import Patch
from mtag.field import Field
from mtag.tagfile import id3
from mtag.tagfile.ape import Ape
from mtag.tagfile.fields import Fields
from mtag.tagfile.items import KEYS, Items, Room
from mtag.tagfile.older import fields_of_v1, from_ape, from_v1, without_genre
from mtag.tagfile.reading import Malformed, id3v1_of, read_at, size_of

SEARCH_BYTES = 1 << 18  # the first frame lies within so many bytes of the tag
BLOCK_BYTES = 1 << 12  # read at a time
N_FRAMES = 4  # frames in a row that make a stream

# kbit/s by bitrate index: MPEG 1 layers I, II, III, then MPEG 2 and 2.5 layer I, layers II and III.
BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz by version bits


class FrontID3(id3.ID3Container):
    """A stream with an ID3v2 tag before it, or none; APEv2 and ID3v1 tags at its end are left as they are."""

    name = "an MPEG audio stream"

    def __init__(self, file: BinaryIO) -> None:
        """Read the tag."""
        self.take(id3.read_tag(file))
        self.v1, self.ape = id3v1_of(file), _ape_texts(file)
        old = fields_of_v1(self.v1) if self.v1 else Fields()
        fields = (self.ape.get(key, ()) for key in KEYS["ape"].values())
        genres, comments, moods, groupings, _ = (tuple(filter(str.strip, texts)) for texts in fields)
        self.shown = Fields(genres or old.genres, comments or old.comments, moods, groupings)

    def fresh(self) -> Items:
        """Begin with what the older tags say, the APEv2 tag above all."""
        frames = from_ape(self.ape, self.dialect)
        known = {frame.key for frame in frames}
        old = from_v1(self.v1, self.dialect) if self.v1 else ()
        return (*frames, *(frame for frame in old if frame.key not in known))

    def disregard_genres(self) -> None:
        """Have the older tags name none."""
        super().disregard_genres()
        self.v1 = self.v1 and without_genre(self.v1)
        self.ape.pop(KEYS["ape"][Field.GENRE], None)

    def rewrite(self, items: Items | None, room: Room = ()) -> list[Patch]:
        """Put a tag before the stream, in the place of the one that is there."""
        return [Patch(0, self.size, self.render(items, room))]


def _ape_texts(file: BinaryIO) -> dict[str, tuple[str, ...]]:
    """What the items of an APEv2 tag at the end of a file say, which players show where the ID3v2 tag is silent."""
    with contextlib.suppress(Malformed):  # it is only looked at
        tag = Ape(file, "an APEv2 tag")
        return {item.key: tag.dialect.texts(item) for item in tag.items or () if not item.key.endswith(":?")}
    return {}


def is_stream(file: BinaryIO, start: int) -> bool:
    """Whether MPEG or ADTS frames follow one another from somewhere near an offset."""
    size = size_of(file)
    for block in range(start, min(start + SEARCH_BYTES, size), BLOCK_BYTES):
        data = read_at(file, block, min(BLOCK_BYTES, size - block))
        at = data.find(b"\xff")
        while at >= 0:
            if _is_chain(file, block + at, size):
                return True
            at = data.find(b"\xff", at + 1)
    return False


def _is_chain(file: BinaryIO, start: int, size: int) -> bool:
    """Whether frames of one kind begin here and at each one's end."""
    kind = None
    for n in range(N_FRAMES):
        if start + 8 > size:
            return n > 1  # a very short stream, whole
        header = read_at(file, start, 8)
        length, found = _frame(header)
        if not length or found != (kind or found):
            return n > 1 and header[:3] in (b"TAG", b"APE", b"LYR")
        kind = found
        start += length
    return True


def _frame(header: bytes) -> tuple[int, tuple[int, ...]]:
    """A frame's length in bytes, and what all frames of a stream share; length 0 for anything else."""
    if header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0, ()
    if header[1] & 0xF6 == 0xF0:
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        return (length if length > 7 and header[2] >> 2 & 15 < 13 else 0), (header[1], header[2] >> 2)
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate_index, bitrate_index = header[2] >> 2 & 3, header[2] >> 4
    if version == 1 or layer == 4 or rate_index == 3 or not 0 < bitrate_index < 15:
        return 0, ()
    rate = RATES[version][rate_index]
    bitrate = BITRATES[1 if version == 3 else 2, layer][bitrate_index - 1] * 1000
    padding = header[2] >> 1 & 1
    if layer == 1:
        length = (12 * bitrate // rate + padding) * 4
    else:
        length = (72 if layer == 3 and version != 3 else 144) * bitrate // rate + padding
    return length, (version, layer, rate_index)

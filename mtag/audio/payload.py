"""The bytes of a music file between the tags at its ends."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import reduce
from io import FileIO

STRETCH_BYTES = 1 << 17  # progress is a stretch not read before: a reader that goes round in circles makes none
MAX_TAGS = 8  # tags one behind another at either end of a file


class Payload:
    """The bytes of a file between the tags at its ends, as PyAV wants to read them.

    FFmpeg looks for the format in the first megabyte, which an ID3v2 tag with a cover can fill, and some of its
    demuxers take the tags behind the audio for audio.
    """

    def __init__(self, file: FileIO, progressed: Callable[[], None]) -> None:
        self._file = file
        self._progressed = progressed  # told of bytes that were never read before
        self._seen: set[int] = set()  # stretches that have been read; FFmpeg may read the end of a file first
        self._start = _end_of_head_tags(file)
        self._size = max(0, _start_of_tail_tags(file) - self._start)
        self._position = 0

    def read(self, n_bytes: int) -> bytes:
        """Give up to so many bytes, none at the end."""
        self._file.seek(self._start + self._position)
        data = self._file.read(min(n_bytes, self._size - self._position)) or b""
        stretches = range(self._position // STRETCH_BYTES, -(-(self._position + len(data)) // STRETCH_BYTES))
        if not self._seen.issuperset(stretches):
            self._seen.update(stretches)
            self._progressed()
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Move as asked, or stay and give a negative number: damaged headers ask for any offset."""
        target = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if target < 0:
            return -errno.EINVAL
        self._position = min(target, self._size)
        return self._position

    @property
    def holds_tags(self) -> bool:
        """Whether tags were left out at either end."""
        return self._file.seek(0, os.SEEK_END) > self._size

    def tell(self) -> int:
        """Give the offset from the audio's first byte."""
        return self._position


def _end_of_head_tags(file: FileIO) -> int:
    """Byte offset behind the ID3v2 tags at a file's head."""
    offset = 0
    for _ in range(MAX_TAGS):
        file.seek(offset)
        header = file.read(10)
        if len(header) < 10 or not header.startswith(b"ID3"):
            break
        has_footer = header[5] & 0x10
        size = reduce(lambda total, byte: total << 7 | byte & 0x7F, header[6:10], 0)
        offset += 10 + size + (10 if has_footer else 0)
    return offset


def _start_of_tail_tags(file: FileIO) -> int:
    """Byte offset of the ID3v1 and APEv2 tags at a file's tail."""
    offset = file.seek(0, os.SEEK_END)
    for _ in range(MAX_TAGS):
        size = _tail_tag_size(file, offset)
        if not 0 < size <= offset:
            break
        offset -= size
    return offset


def _tail_tag_size(file: FileIO, end: int) -> int:
    """Size of the tag that ends at a byte offset, 0 where there is none."""
    file.seek(max(0, end - 128))
    tail = file.read(min(end, 128))
    footer = tail[-32:]
    # First: the letters that begin an ID3v1 tag can stand in its place inside an APEv2 tag, too.
    if len(footer) == 32 and footer.startswith(b"APETAGEX"):
        has_header = footer[23] & 0x80
        return int.from_bytes(footer[12:16], "little") + (32 if has_header else 0)
    return 128 if tail.startswith(b"TAG") and len(tail) == 128 else 0

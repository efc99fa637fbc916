"""From a music file to windows of 16 kHz mono, in bounded memory."""

from mtag.audio.decode import packet_digest, read_blocks
from mtag.audio.decoders import Decoders
from mtag.audio.spread import read_spread
from mtag.audio.windows import Read, SpreadReader, Waveform, WindowReader, Windows, level, slice_windows

__all__ = [
    "Decoders",
    "Read",
    "SpreadReader",
    "Waveform",
    "WindowReader",
    "Windows",
    "level",
    "packet_digest",
    "read_blocks",
    "read_spread",
    "slice_windows",
]

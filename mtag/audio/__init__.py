"""From a music file to windows of 16 kHz mono, in bounded memory."""

from mtag.audio.decode import packet_digest, read_blocks
from mtag.audio.decoders import Decoders
from mtag.audio.windows import Read, Waveform, WindowReader, level, slice_windows

__all__ = ["Decoders", "Read", "Waveform", "WindowReader", "level", "packet_digest", "read_blocks", "slice_windows"]

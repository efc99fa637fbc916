"""From a music file to windows of 16 kHz mono, in bounded memory."""

from mtag.audio.decode import packet_digest, read_blocks
from mtag.audio.windows import Waveform, WindowReader, level, slice_windows

__all__ = ["Waveform", "WindowReader", "level", "packet_digest", "read_blocks", "slice_windows"]

"""From a music file to windows of 16 kHz mono, in bounded memory.

Nothing is imported here: `mtag.audio.decoders` starts processes, and need not wait for NumPy.
"""

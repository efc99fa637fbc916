"""Small music files for the tests, made on the spot: samples in, a real encoded file out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Recipe(NamedTuple):
    """How one suffix is written."""

    container: str  # FFmpeg's name of the container
    codec: str  # FFmpeg's name of the encoder
    sample_format: str  # what the encoder takes


RECIPES = {
    ".mp3": Recipe("mp3", "libmp3lame", "fltp"),
    ".flac": Recipe("flac", "flac", "s16"),
    ".24.flac": Recipe("flac", "flac", "s32"),
    ".opus": Recipe("opus", "libopus", "flt"),
    ".m4a": Recipe("ipod", "aac", "fltp"),
    ".mp4": Recipe("mp4", "aac", "fltp"),
    ".alac.m4a": Recipe("ipod", "alac", "s16p"),
    ".aac": Recipe("adts", "aac", "fltp"),
    ".wav": Recipe("wav", "pcm_s16le", "s16"),
    ".8.wav": Recipe("wav", "pcm_u8", "u8"),
    ".24.wav": Recipe("wav", "pcm_s24le", "s32"),
    ".32.wav": Recipe("wav", "pcm_s32le", "s32"),
    ".float.wav": Recipe("wav", "pcm_f32le", "flt"),
    ".aiff": Recipe("aiff", "pcm_s16be", "s16"),
    ".aif": Recipe("aiff", "pcm_s16be", "s16"),
    ".wma": Recipe("asf", "wmav2", "fltp"),
    ".wv": Recipe("wv", "wavpack", "s16p"),
    ".float.wv": Recipe("wv", "wavpack", "fltp"),
    ".tta": Recipe("tta", "tta", "s16"),
    ".mka": Recipe("matroska", "flac", "s16"),
    ".ac3": Recipe("ac3", "ac3", "fltp"),
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def encode(path: Path, samples: Samples, sr: int = 44100) -> Path:
    """Write samples, (n,) or (channels, n) float32 in [-1, 1], in the format that the name's end asks for.

    The longest matching key of `RECIPES` decides, so `song.alac.m4a` is ALAC; `.ogg` and `.oga` are Ogg Vorbis,
    which libsndfile writes (FFmpeg's own encoder is experimental and stereo only). Opus is stored at 48 kHz.
    """
    samples = np.atleast_2d(np.asarray(samples, np.float32))
    if path.name.endswith((".ogg", ".oga")):
        _encode_vorbis(path, samples, sr)
        return path
    recipe = RECIPES[max((suffix for suffix in RECIPES if path.name.endswith(suffix)), key=len)]
    with path.open("wb") as file, av.open(file, "w", format=recipe.container) as container:
        stream = container.add_stream(recipe.codec, rate=48000 if recipe.codec == "libopus" else sr)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = layout = LAYOUTS[len(samples)]
        stream.codec_context.format = recipe.sample_format
        stream.codec_context.bit_rate = 64_000 * len(samples)
        for start in range(0, samples.shape[1], sr):
            packed = samples[:, start : start + sr].T.reshape(1, -1)  # PyAV miscounts eight planes, so not "fltp"
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="flt", layout=layout)
            frame.sample_rate = sr
            frame.pts = start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _encode_vorbis(path: Path, samples: Samples, sr: int) -> None:
    with (
        path.open("wb") as file,
        soundfile.SoundFile(file, "w", sr, len(samples), format="OGG", subtype="VORBIS") as sound,
    ):
        for start in range(0, samples.shape[1], sr):  # one call with minutes of audio overflows libsndfile's stack
            sound.write(samples[:, start : start + sr].T)


def tone(seconds: float, sr: int = 44100, hz: float = 440.0, amplitude: float = 0.5) -> Samples:
    """Give a sine wave: (n,) float32."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def noise(seconds: float, sr: int = 44100, rms: float = 0.1, seed: int = 0) -> Samples:
    """Give white noise: (n,) float32; the same seed gives the same noise."""
    return np.random.default_rng(seed).normal(0, rms, round(seconds * sr)).astype(np.float32)

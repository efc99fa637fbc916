"""Sound made of numbers: a drum machine, a tabla, an analogue synthesiser, a guitar amplifier, a mixing desk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

SR = 44_100  # Hz

Sound = NDArray[np.float64]


def times(seconds: float) -> Sound:
    """Sample times of a sound, (n,) seconds."""
    return np.arange(round(seconds * SR)) / SR


def hertz(key: float) -> float:
    """Frequency of a MIDI note number."""
    return 440.0 * 2 ** ((key - 69) / 12)


def decay(seconds: float, half: float) -> Sound:
    """An exponential envelope that loses half of its level every `half` seconds."""
    return 0.5 ** (times(seconds) / half)


def sweep(hz: Sound) -> Sound:
    """A sine whose frequency at each sample is given."""
    return np.sin(2 * np.pi * np.cumsum(hz) / SR)


def saw(hz: float, seconds: float, phase: float = 0.0) -> Sound:
    """A saw-tooth without the harmonics that would alias."""
    t = times(seconds)
    harmonics = np.arange(1, int(16_000 / hz) + 1)
    return sum((np.sin(2 * np.pi * k * (hz * t + phase)) / k for k in harmonics), np.zeros(t.size)) * 2 / np.pi


def band(sound: Sound, low: float, high: float, order: int = 2) -> Sound:
    """Keep what lies between two frequencies in Hz; 0 or 22,050 leaves that side open."""
    if low > 0:
        sound = signal.sosfilt(signal.butter(order, low, "high", fs=SR, output="sos"), sound)
    if high < SR / 2:
        sound = signal.sosfilt(signal.butter(order, high, "low", fs=SR, output="sos"), sound)
    return sound


def ladder(sound: Sound, cutoff: Sound, resonance: float) -> Sound:
    """A resonant low-pass whose cutoff in Hz moves: a state-variable filter, set anew every 64 samples."""
    out, state = np.empty_like(sound), np.zeros(2)
    for start in range(0, sound.size, 64):
        b, a = _low_pass(float(cutoff[start]), resonance)
        block = slice(start, start + 64)
        out[block], state = signal.lfilter(b, a, sound[block], zi=state)
    return out


def _low_pass(hz: float, q: float) -> tuple[Sound, Sound]:
    """Second-order low-pass of the given resonance, as in Robert Bristow-Johnson's cookbook."""
    w = 2 * np.pi * min(hz, 0.45 * SR) / SR
    alpha = np.sin(w) / (2 * q)
    b = np.array([0.5, 1.0, 0.5]) * (1 - np.cos(w))
    return b / (1 + alpha), np.array([1 + alpha, -2 * np.cos(w), 1 - alpha]) / (1 + alpha)


def place(track: Sound, sound: Sound, second: float, gain: float = 1.0) -> None:
    """Add a sound to a track, in place; what hangs over the end is lost."""
    start = round(second * SR)
    room = track[..., start : start + sound.shape[-1]]
    room += gain * sound[..., : room.shape[-1]]


def kick() -> Sound:
    """A drum machine's bass drum: a sine that falls from 220 to 48 Hz, with a click."""
    t = times(0.35)
    body = sweep(48 + 172 * np.exp(-t / 0.028)) * decay(0.35, 0.09)
    return np.tanh(1.8 * body + 0.3 * np.exp(-t / 0.002))


def clap(rng: np.random.Generator) -> Sound:
    """Four bursts of noise, as of several hands."""
    noise = band(rng.normal(size=times(0.25).size), 800, 4_000)
    envelope = 0.8 * decay(0.25, 0.03)
    for burst in (0.0, 0.011, 0.023):
        place(envelope, decay(0.012, 0.004), burst)
    return 0.5 * noise * envelope


def hat(rng: np.random.Generator, half: float) -> Sound:
    """A cymbal of filtered noise; `half` tells closed (0.012 s) from open (0.07 s)."""
    length = 8 * half
    return 0.4 * band(rng.normal(size=times(length).size), 7_000, SR / 2) * decay(length, half)


# Ringing strokes of the tabla: seconds, half-life, and the levels of harmonics 1 to 5. The loaded membrane rings in
# whole-number harmonics, unlike other drums.
_RINGING = {
    "na": (0.5, 0.07, (0.25, 0.5, 1.0, 0.5, 0.25)),
    "tin": (0.7, 0.14, (0.6, 1.0, 0.25, 0.2, 0.1)),
    "te": (0.15, 0.02, (0.3, 0.1, 0.0, 0.0, 0.0)),
}
_TABLA_HZ = 277.2  # the small drum is tuned to C sharp


def tabla(stroke: str, rng: np.random.Generator) -> Sound:
    """One stroke: `na` and `tin` ring on the small drum, `te` is damped, `ge` bends on the large one."""
    if stroke == "ge":
        t = times(0.6)
        hz = 72 + 30 * np.exp(-(((t - 0.09) / 0.07) ** 2)) + 25 * np.exp(-t / 0.02)
        return sweep(hz) * decay(0.6, 0.12) + 0.2 * _slap(0.6, rng)
    seconds, half, levels = _RINGING[stroke]
    ring = np.zeros(times(seconds).size)
    for k, level in enumerate(levels, 1):
        ring += level * np.sin(2 * np.pi * _TABLA_HZ * k * times(seconds)) * decay(seconds, half / k**0.7)
    return 0.5 * ring + 0.5 * _slap(seconds, rng)


def _slap(seconds: float, rng: np.random.Generator) -> Sound:
    """The finger's noise."""
    return band(rng.normal(size=times(seconds).size), 300, 5_000) * decay(seconds, 0.006)


def piano(key: float, velocity: float, seconds: float, rng: np.random.Generator) -> Sound:
    """A piano tone: stretched partials of three strings a little apart, a hammer's knock, a damper at the end."""
    t = times(seconds + 0.35)
    force = velocity / 127
    tone = np.zeros(t.size)
    for k in range(1, 41):
        hz = hertz(key) * k * np.sqrt(1 + 0.00012 * 2 ** ((key - 60) / 16) * k * k)  # stiff strings ring sharp
        if hz > 7_000:
            break
        # The hammer hits at an eighth of the string, so the eighth partial hardly sounds; a soft blow is dark.
        level = (abs(np.sin(np.pi * k / 8.3)) + 0.05) * np.exp(-k * hertz(key) / (1_200 + 2_600 * force)) / k**0.6
        half = 0.6 * 2 ** ((40 - key) / 14) / (1 + (hz / 1_800) ** 1.1) + 0.013
        fall = 0.75 * 0.5 ** (t / half) + 0.25 * 0.5 ** (t / (4 * half))
        for cents in (-0.45, 0.13, 0.52):
            phase = rng.uniform(0, 2 * np.pi)
            tone += level / 3 * np.sin(2 * np.pi * hz * 2 ** (cents / 1_200) * t + phase) * fall
    tone = tone * np.minimum(1, t / 0.0025) + 0.12 * force * _knock(t, rng)
    return tone * force**1.5 * np.where(t > seconds, np.exp((seconds - t) / 0.09), 1)


def _knock(t: Sound, rng: np.random.Generator) -> Sound:
    """The hammer against wood and iron."""
    return band(rng.normal(size=t.size) * np.exp(-t / 0.012), 80, 1_200)


def amplifier(sound: Sound, drive: float) -> Sound:
    """An overdriven valve amplifier and its loudspeaker box, (n,) samples."""
    tight = band(sound / np.abs(sound).max(), 110, 5_500)
    fine = signal.resample_poly(tight, 4, 1)
    clipped = np.tanh(drive * fine + 0.2) - np.tanh(0.2)
    hot = signal.resample_poly(np.tanh(2 * clipped), 1, 4)[: sound.size]
    box = band(hot, 90, 4_800, order=3)
    presence = band(hot, 1_800, 3_600)
    return box + 0.5 * presence


def echo(sound: Sound, seconds: float, feedback: float, n: int = 4) -> Sound:
    """Repeat a stereo sound, (2, n_samples), from side to side, ever more quietly."""
    out = sound.copy()
    for k in range(1, n + 1):
        place(out, sound[::-1] if k % 2 else sound, k * seconds, feedback**k)
    return out


def room(sound: Sound, seconds: float, wet: float, rng: np.random.Generator) -> Sound:
    """Add a hall: (2, n) samples convolved with decaying noise, darker as it fades."""
    tail = rng.normal(size=(2, times(seconds).size)) * decay(seconds, seconds / 8)
    tail = 0.6 * band(tail, 150, 2_500) + 0.4 * band(tail, 150, 7_000) * decay(seconds, seconds / 16)
    wash = signal.fftconvolve(sound, tail / np.sqrt((tail**2).sum(axis=1, keepdims=True)), axes=1)
    return sound + wet * wash[:, : sound.shape[1]]


def master(sound: Sound, seconds: float, peak: float = 0.7, fade: float = 1.0) -> NDArray[np.float32]:
    """Cut to length, fade out and bring to one level; (channels, n)."""
    n = round(seconds * SR)
    cut = np.zeros((len(sound), n))
    cut[:, : min(n, sound.shape[1])] = sound[:, :n]
    cut[:, n - round(fade * SR) :] *= np.linspace(1, 0, round(fade * SR)) ** 2
    return (cut * peak / np.abs(cut).max()).astype(np.float32)

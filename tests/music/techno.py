"""The techno piece, every sound of it synthesised."""

from __future__ import annotations

import numpy as np

from tests.music.sound import SR, Sound, clap, decay, echo, hat, hertz, kick, ladder, place, saw, times


def warehouse() -> Sound:
    """Techno: four on the floor, off-beat hats, an acid bass line whose filter opens, minor chords in an echo."""
    rng = np.random.default_rng(5)
    beat = 60 / 132  # seconds
    duck = 1 - 0.7 * 0.5 ** ((times(30) % beat) / 0.08)  # the kick pushes everything else aside
    return 0.9 * machine(beat, rng) + duck * (0.45 * acid(beat) + 0.9 * stabs(beat))


def machine(beat: float, rng: np.random.Generator) -> Sound:
    """The drum machine's part: (n,) samples."""
    track = np.zeros(30 * SR)
    for n in range(62):
        place(track, kick(), n * beat)
        place(track, hat(rng, 0.05), (n + 0.5) * beat, 0.5)
        if n % 2 and n >= 8:
            place(track, clap(rng), n * beat, 0.8)
        for k in range(4):
            place(track, hat(rng, 0.012), (n + k / 4) * beat, 0.35 if k % 2 else 0.25)
    return track


def acid(beat: float) -> Sound:
    """Sixteenths of saw-tooth bass through a resonant filter that opens and closes over the piece: (n,) samples."""
    track = np.zeros(30 * SR)
    steps = [33, 0, 45, 33, 0, 33, 36, 0, 33, 0, 48, 33, 45, 0, 31, 43]  # 0 is a rest
    for n in range(62 * 4):
        if key := steps[n % 16]:
            place(track, saw(hertz(key), 0.9 * beat / 4), n * beat / 4)
    arch = 250 + 1_800 * np.sin(np.pi * times(30) / 30) ** 2
    pluck = 1 + 1.5 * 0.5 ** ((times(30) % (beat / 4)) / 0.03)
    return np.tanh(2 * ladder(track, arch * pluck, 5.0))


def stabs(beat: float) -> Sound:
    """Short seventh chords, A minor and F major, from bar 5 on, in a stereo echo: (2, n) samples."""
    track = np.zeros((2, 30 * SR))
    minor, major = stab([57, 60, 64, 67]), stab([53, 57, 60, 64])
    for bar in range(4, 15):
        place(track, minor, (4 * bar + 0.75) * beat)
        place(track, minor if bar % 4 < 2 else major, (4 * bar + 2.5) * beat)
    return echo(track, 0.75 * beat, 0.55)


def stab(keys: list[int]) -> Sound:
    """A short chord of saw-tooth waves, the left side a little flat and the right a little sharp: (2, n) samples."""
    envelope = decay(0.3, 0.06)
    sides = []
    for detune in (-0.08, 0.08):
        chord = sum((saw(hertz(key + detune), 0.3, phase=k / 4) for k, key in enumerate(keys)), np.zeros(envelope.size))
        sides.append(ladder(0.2 * chord, 400 + 3_000 * envelope, 1.5) * envelope)
    return np.stack(sides)

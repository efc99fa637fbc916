"""Compose, play and encode the short pieces in this folder: `python -m tests.music.compose [NAME ...]`.

Needs FluidSynth and the FluidR3 General MIDI sound font (Debian: `apt-get install fluidsynth fluid-soundfont-gm`)
beside mtag's own dependencies. Every piece has its own seed, so that each can be made again alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.music.publish import encode, label
from tests.music.score import Note, Part, Sound, clock, line, perform, pitch, render, shaped
from tests.music.sound import SR, amplifier, band, master, piano, place, room, tabla
from tests.music.techno import warehouse


def broken(chords: str, pattern: list[int], unit: float, velocity: float) -> list[Note]:
    """Broken chords: each word `Eb2,Bb2,G3` lasts one pass through the pattern of its notes' numbers."""
    notes = []
    for n, chord in enumerate(chords.split()):
        pitches = [pitch(name) for name in chord.split(",")]
        for k, which in enumerate(pattern):
            notes.append(Note((n * len(pattern) + k) * unit, unit, pitches[which], velocity))
    return notes


def nocturne() -> Sound:
    """Piano: a song over wide broken chords, twelve eighths a bar; written in E flat, played in A flat below."""
    rng = np.random.default_rng(1)
    melody = line(
        "Bb4/3 G5/6 F5/1 G5/1 F5/1 | F5/3 D5/2 B4/1 C5/4 Eb5/2 | Ab5/5 G5/1 F5/3 C5/2 Eb5/1 |"
        "D5/2 Eb5/1 F5/2 G5/1 Ab5/2 F5/1 D5/2 Bb4/1 | G5/4 Bb5/2 C6/2 B5/1 Ab5/3 |"
        "G5/3 F5/1 Eb5/1 G5/1 F5/4 D5/2 | Eb5/6 G5+Bb5+Eb6/6",
        unit=1 / 3, velocity=74,
    )  # fmt: skip
    chords = (
        "Eb2,Bb2,G3,Bb3,Eb4 Eb2,Bb2,G3,Bb3,Eb4 G2,D3,F3,B3,D4 C2,G2,Eb3,G3,C4 Ab2,Eb3,C4,Eb4,Ab4 F2,C3,Ab3,C4,F4 "
        "Bb1,F2,D3,Ab3,D4 Bb1,F2,D3,Ab3,D4 G2,Eb3,Bb3,Eb4,G4 Ab2,Eb3,B3,Eb4,Ab4 Bb1,Bb2,G3,Bb3,Eb4 Bb1,F2,D3,Ab3,D4 "
        "Eb2,Bb2,G3,Bb3,Eb4"
    )
    accompaniment = broken(chords, [0, 1, 2, 3, 4, 2], 1 / 3, 46)
    accompaniment += [Note(26, 2, pitch(name), 40) for name in ("Eb2", "Bb2", "Eb3")]
    swell = [(0, 0.9), (8, 1.15), (12, 0.95), (18, 1.2), (22, 0.9), (28, 0.6)]
    at = clock([(0, 54), (3, 66), (7, 60), (12, 68), (15, 54), (18, 70), (22, 60), (26, 40)])
    notes = perform(shaped(melody, swell), at, rng, timing=0.012, legato=1.05)
    notes += perform(shaped(accompaniment, swell), at, rng, timing=0.008, legato=1.3)
    sound = np.zeros((2, 30 * SR))
    for note in notes:
        key = note.pitch - 7
        side = (key - 57) / 60  # low strings to the left, high ones to the right
        place(sound, np.outer([1 - side, 1 + side], piano(key, note.velocity, note.length, rng)), note.start)
    return band(room(sound, 2.5, 0.45, rng), 0, 800, order=1)


def toccata() -> Sound:
    """Harpsichord: a two-part toccata in D minor, falling fifths in sixteenths over a walking bass."""
    rng = np.random.default_rng(2)
    treble = line(
        "D5/1 F5/1 E5/1 D5/1 A5/1 D5/1 C#5/1 D5/1 Bb5/1 D5/1 A5/1 D5/1 G5/1 D5/1 F5/1 E5/1 |"
        "F5/1 D5/1 E5/1 F5/1 G5/1 A5/1 Bb5/1 G5/1 C#5/1 E5/1 A4/1 B4/1 C#5/1 D5/1 E5/1 C#5/1 |"
        "D5/1 A5/1 F5/1 A5/1 D6/1 A5/1 F5/1 D5/1 G5/1 Bb5/1 D6/1 Bb5/1 G5/1 F5/1 Eb5/1 D5/1 |"
        "C5/1 G5/1 E5/1 G5/1 C6/1 G5/1 E5/1 C5/1 F5/1 A5/1 C6/1 A5/1 F5/1 E5/1 D5/1 C5/1 |"
        "Bb4/1 F5/1 D5/1 F5/1 Bb5/1 F5/1 D5/1 Bb4/1 E5/1 G5/1 Bb5/1 G5/1 E5/1 D5/1 C#5/1 B4/1 |"
        "A4/1 E5/1 C#5/1 E5/1 A5/1 E5/1 C#5/1 A4/1 D5/1 F5/1 A5/1 F5/1 D5/1 C5/1 Bb4/1 A4/1 |"
        "G4/1 Bb4/1 D5/1 G5/1 F5/1 E5/1 D5/1 C5/1 F4/1 A4/1 C5/1 F5/1 E5/1 D5/1 C5/1 Bb4/1 |"
        "E4/1 G4/1 Bb4/1 E5/1 D5/1 C#5/1 B4/1 A4/1 D5/1 E5/1 F5/1 G5/1 A5/1 Bb5/1 C6/1 A5/1 |"
        "Bb5/1 G5/1 D5/1 G5/1 Bb5/1 A5/1 G5/1 F5/1 E5/1 C#5/1 A4/1 C#5/1 E5/1 F5/1 G5/1 E5/1 |"
        "F5/1 A5/1 D6/1 A5/1 F5/1 D5/1 A4/1 D5/1 E5/.5 F5/.5 E5/.5 F5/.5 E5/.5 F5/.5 E5/.5 F5/.5 E5/2 D5/1 C#5/1 |"
        "D5+F5+A5/8",
        unit=1 / 4, velocity=88,
    )  # fmt: skip
    bass = line(
        "D3/2 D4/2 C#4/2 D4/2 G3/2 A3/2 Bb3/2 G3/2 | D3/2 D4/2 Bb3/2 G3/2 A3/2 G3/2 F3/2 E3/2 |"
        "F3/2 D3/2 F3/2 D3/2 Bb2/2 G2/2 Bb2/2 G2/2 | E3/2 C3/2 E3/2 C3/2 A2/2 F2/2 A2/2 F2/2 |"
        "D3/2 Bb2/2 D3/2 Bb2/2 G2/2 E2/2 G2/2 E2/2 | C#3/2 A2/2 C#3/2 A2/2 F2/2 D2/2 F3/2 D3/2 |"
        "Bb2/2 G2/2 B2/2 G2/2 A2/2 F2/2 A2/2 F2/2 | G2/2 E2/2 A2/2 G2/2 F2/2 A2/2 D3/2 F3/2 |"
        "G3/2 Bb3/2 G3/2 Bb2/2 A2/2 C#3/2 E3/2 A2/2 | D3/2 F3/2 A3/2 F3/2 A2/2 A3/2 A2/4 |"
        "D2+A2+D3/8",
        unit=1 / 4, velocity=84,
    )  # fmt: skip
    at = clock([(0, 92), (2, 100), (36, 100), (39, 78), (40, 60)])
    notes = perform(treble + bass, at, rng, timing=0.005, legato=0.92)
    return band(room(render([Part(6, notes)]), 3.5, 0.9, rng), 0, 10_000, order=1)


def aria() -> Sound:
    """Violin: a slow aria in G minor over second violin, viola and cello."""
    rng = np.random.default_rng(3)
    solo = line(
        "D5/1.5 Bb5/.5 A5/.5 G5/.5 F#5/.5 G5/.5 | A5/1.5 C6/.5 Bb5/.5 A5/.5 G5/.5 F#5/.5 |"
        "G5/1 D5/.5 G5/.5 Bb5/1 Eb6/.5 D6/.5 | C6/1 A5/.5 C6/.5 D6/.75 C6/.25 Bb5/1 |"
        "G5/.5 Bb5/.5 Eb6/1 D6/.5 C6/.5 Bb5/.5 G5/.5 | Eb5/.5 G5/.5 C6/1 Bb5/.5 A5/.5 G5/.5 Eb5/.5 |"
        "D5/.5 G5/.5 Bb5/.5 A5/.25 G5/.25 A5/1 F#5/1 | D5+G5/4",
        velocity=100,
    )  # fmt: skip
    second = line(
        "Bb4/2 Bb4/2 | C5/2 D5/2 | D5/2 G4/2 | A4/2 Bb4/2 | Bb4/2 Bb4/2 | G4/2 C5/2 | Bb4/2 D5/1 C5/1 | Bb4/4",
        velocity=62,
    )
    viola = line(
        "G4/2 D4/2 | F#4/2 A4/2 | Bb4/2 Eb4/2 | Eb4/2 F4/2 | G4/2 Eb4/2 | Eb4/2 G4/2 | G4/2 F#4/2 | D4/4", velocity=62
    )
    cello = line(
        "G2/1 G3/1 F3/1 Eb3/1 | D3/1 D3/1 D3/1 C3/1 | Bb2/1 G2/1 Eb3/1 D3/1 | F3/1 F2/1 Bb2/1 A2/1 |"
        "Eb3/1 D3/1 C3/1 Bb2/1 | C3/1 Bb2/1 A2/1 C3/1 | D3/1 D3/1 D3/1 D2/1 | G2/4",
        velocity=72,
    )
    at = clock([(0, 66), (4, 72), (8, 68), (20, 76), (26, 66), (29, 52), (32, 44)])
    swell = [(0, 0.85), (7, 1.0), (8, 0.9), (16, 1.15), (20, 1.2), (27, 0.95), (32, 0.7)]
    players = [(40, solo, 118, 54), (40, second, 70, 84), (41, viola, 80, 76), (42, cello, 92, 96)]
    parts = [
        Part(program, perform(shaped(notes, swell), at, rng, timing=0.012, legato=1.02), volume=volume, pan=pan)
        for program, notes, volume, pan in players
    ]
    return room(render(parts), 2.5, 0.4, rng)


def raga() -> Sound:
    """Sitar: a slow opening and a composition in raga Kafi over a drone, with tabla in sixteen beats."""
    rng = np.random.default_rng(4)
    at = clock([(0, 126), (20, 126), (56, 150)])
    opening = line("C4/3 Bb3/1 D4/3 C4/1 | Eb4/3 D4/1 F4/2 Eb4/1 D4/1 | C4/2", velocity=92)
    theme = (
        "G4/1 F4/.5 G4/.5 A4/1 Bb4/.5 A4/.5 G4/1 F4/.5 Eb4/.5 D4/1 Eb4/1 |"
        "F4/.5 G4/.5 Eb4/.5 F4/.5 D4/.5 Eb4/.5 C4/.5 D4/.5 Bb3/1 D4/.5 Eb4/.5 C4/1 C4/1 |"
    )
    run = (
        "C5/.5 Bb4/.5 A4/.5 Bb4/.5 A4/.5 G4/.5 A4/.5 G4/.5 F4/.5 G4/.5 F4/.5 Eb4/.5 F4/.5 Eb4/.5 D4/.5 Eb4/.5 |"
        "D4/.5 Eb4/.5 F4/.5 G4/.5 A4/.5 Bb4/.5 C5/1 D5/.5 C5/.5 Bb4/.5 A4/.5 G4/.5 F4/.5 Eb4/.5 D4/.5 |"
    )
    composition = line(theme + run + "C4/4", start=18, velocity=100)
    sitar = [Note(n.start, n.length, n.pitch + 1, n.velocity) for n in opening + composition]
    bends = [bend for n in opening[::2] for bend in glide(at(n.start + 0.5), at(n.start + n.length), to_next(n.pitch))]
    strums = [Note(beat, 0.5, key, 60) for beat in (*range(2, 18, 4), *range(19, 50, 2)) for key in (61, 73)]
    drone = [Note(beat, 6, (56, 61, 61, 49)[beat % 4], 70) for beat in range(56)]
    parts = [
        Part(104, perform(sitar, at, rng, legato=1.3), bends=bends, volume=120),
        Part(104, perform(strums, at, rng), volume=70, pan=80),
        Part(104, perform(drone, at, rng, legato=1.5), volume=90, pan=40),
    ]
    strings = render(parts)
    sound = strings + 1.5 * band(strings, 1_200, SR / 2, order=1)  # the wide bridge buzzes
    place(sound, np.abs(sound).max() * teental(at, 50, rng), 0)
    return sound


def to_next(key: float) -> int:
    """Semitones from a note of raga Kafi on C to the one above: C D Eb F G A Bb."""
    return {0: 2, 2: 1, 3: 2, 5: 2, 7: 2, 9: 1, 10: 2}[int(key) % 12]


def glide(start: float, end: float, semitones: float) -> list[tuple[float, float]]:
    """A string pulled aside and let go: pitch bends between two seconds."""
    moments = np.linspace(0, 1, 24)
    curve = semitones * np.sin(np.pi * moments) ** 2
    return [(start + (end - start) * float(x), float(y)) for x, y in zip(moments, curve, strict=True)]


def teental(at: Callable[[float], float], n_beats: int, rng: np.random.Generator) -> Sound:
    """Tabla strokes for each beat of the sixteen: (n,) samples."""
    bols = ["na+ge", "tin+ge", "tin+ge", "na+ge"]  # dha dhin dhin dha
    cycle = [*bols, *bols, "na+ge", "tin", "tin", "na", "na", "tin+ge", "tin+ge", "na+ge"]
    track = np.zeros(30 * SR)
    for beat in range(n_beats):
        for stroke in cycle[(beat - 2) % 16].split("+"):
            place(track, tabla(stroke, rng), at(beat) + rng.normal(0, 0.005), rng.normal(0.9, 0.06))
        for late in (0.5, 0.75) if beat % 4 == 3 else (0.5,):
            place(track, tabla("te", rng), at(beat + late), 0.5)
    return track


def garage() -> Sound:
    """Rock: a riff of power chords, played twice for left and right, a lead guitar, bass guitar and a drum kit."""
    rng = np.random.default_rng(6)
    at = clock([(0, 138), (64, 138)])
    riff = (
        "E2+B2+E3/.5 E2/.5 E2/.5 G2+D3+G3/.5 r/.5 E2/.5 A2+E3+A3/1 |"
        "E2+B2+E3/.5 E2/.5 E2/.5 Bb2+F3+Bb3/.5 A2+E3+A3/1 G2+D3+G3/1 |"
    )
    bridge = "C3+G3+C4/2 D3+A3+D4/2 | E3+B3+E4/3 D3+A3+D4/1 | C3+G3+C4/2 A2+E3+A3/2 | B2+F#3+B3/2 B2+F#3+B3/2 |"
    rhythm = line(4 * riff + bridge + 2 * riff + "E2+B2+E3/4", velocity=110)
    roots = [n for n in rhythm if n.pitch < 49]
    lead = line(
        "B4/1.5 D5/.5 E5/2 | G5/1 F#5/.5 E5/.5 D5/1 B4/1 | E5/1.5 G5/.5 A5/1 G5/1 | F#5/1 D#5/1 B4/2",
        start=32, velocity=110,
    )  # fmt: skip
    left, right = (electric(perform(rhythm, at, rng, timing=0.008), 14) for _ in range(2))
    solo = electric(perform(lead, at, rng, legato=1.1), 25)
    kit = Part(0, perform(drumming(52), at, rng, timing=0.004), volume=120, drums=True)
    backing = render([Part(34, perform(roots, at, rng), volume=110), kit])
    mix = np.zeros((2, 30 * SR))
    place(mix, backing / backing.std(), 0, 1.5)
    place(mix, np.stack([left + 0.15 * right, right + 0.15 * left]), 0)
    place(mix, np.stack([solo, solo]), 0, 0.5)
    return np.tanh(0.3 * room(mix, 0.8, 0.2, rng))


def electric(notes: list[Note], drive: float) -> Sound:
    """A clean electric guitar through an overdriven amplifier: 30 s, (n,) samples with a standard deviation of 1."""
    track = np.zeros(30 * SR)
    place(track, amplifier(render([Part(27, notes)]).sum(axis=0), drive), 0)
    return track / track.std()


def drumming(n_beats: int) -> list[Note]:
    """A rock beat: bass drum 36, snare 38, hats 42, a crash 49 every four bars and a fill before it."""
    notes = []
    for beat in range(n_beats):
        notes += [Note(beat, 0.2, 42, 95), Note(beat + 0.5, 0.2, 42, 75), Note(beat, 0.2, 38 if beat % 2 else 36, 120)]
        if beat % 4 == 2:
            notes.append(Note(beat + 0.5, 0.2, 36, 110))
        if beat % 16 == 0:
            notes.append(Note(beat, 1.0, 49, 115))
        if beat % 16 == 15:
            notes += [Note(beat + k / 4, 0.2, 38 if k < 2 else 45, 105) for k in range(4)]
    return notes


PIECES: dict[str, tuple[str, Callable[[], Sound], float]] = {  # file: title, composer, seconds
    "nocturne.flac": ("Nocturne in A flat", nocturne, 28.5),
    "toccata.ogg": ("Toccata in D minor", toccata, 27.5),
    "aria.mp3": ("Aria in G minor", aria, 28.5),
    "raga.m4a": ("Raga Kafi", raga, 25.5),
    "warehouse.opus": ("Warehouse", warehouse, 27.5),
    "garage.mp3": ("Garage", garage, 24.0),
}


if __name__ == "__main__":
    for track, (name, (title, compose, seconds)) in enumerate(PIECES.items(), 1):
        if name in sys.argv[1:] or len(sys.argv) == 1:
            path = Path(__file__).parent / name
            encode(path, master(compose(), seconds))
            label(path, title, track)

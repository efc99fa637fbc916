"""Notes on paper and on the way to a sampler: a small notation, a performer's hands, MIDI files, FluidSynth."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

SR = 44_100  # Hz
TICKS_PER_SECOND = 960  # 480 ticks a quarter at MIDI's default 120 quarters a minute
BEND_RANGE = 12  # semitones that a full pitch bend means
SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

Sound = NDArray[np.float64]
Events = list[tuple[float, bytes]]

_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NAME = re.compile(r"([A-G])([#b]?)(\d)")


@dataclass(frozen=True)
class Note:
    """One note; times are beats in a score and seconds in a performance."""

    start: float
    length: float
    pitch: float  # MIDI number; 60 is middle C
    velocity: float = 80  # 1 to 127


@dataclass(frozen=True)
class Part:
    """What one player plays: a General MIDI program and a performance in seconds."""

    program: int  # counted from 0
    notes: list[Note]
    bends: list[tuple[float, float]] = field(default_factory=list)  # (second, semitones)
    volume: int = 100  # 0 to 127
    pan: int = 64  # 0 left, 127 right
    drums: bool = False


def pitch(name: str) -> int:
    """MIDI number of a note name such as `Eb4`; C4 is 60."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is not a note")
    letter, accidental, octave = match.groups()
    return _STEPS[letter] + {"": 0, "#": 1, "b": -1}[accidental] + 12 * (int(octave) + 1)


def line(text: str, unit: float = 1.0, start: float = 0.0, velocity: float = 80) -> list[Note]:
    """Read a melody: `G5/2 r/1 C4+E4/4`, each note name, chord or rest with its length in units."""
    notes = []
    for word in text.replace("|", " ").split():
        names, length = word.split("/")
        duration = float(length) * unit
        if names != "r":
            notes += [Note(start, duration, pitch(name), velocity) for name in names.split("+")]
        start += duration
    return notes


def shaped(notes: Iterable[Note], curve: Sequence[tuple[float, float]]) -> list[Note]:
    """Scale velocities along a curve of (beat, factor) points: crescendo and diminuendo."""
    beats, factors = zip(*curve, strict=True)
    return [replace(n, velocity=n.velocity * float(np.interp(n.start, beats, factors))) for n in notes]


def clock(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    """Seconds at a beat, for tempi (beat, beats a minute) that change linearly between the points."""
    grid = np.arange(0, points[-1][0] + 8, 1 / 64)
    tempo = np.interp(grid, [beat for beat, _ in points], [bpm for _, bpm in points])
    seconds = np.concatenate([[0.0], np.cumsum(60 / 64 / tempo)])[:-1]
    return lambda beat: float(np.interp(beat, grid, seconds))


def perform(
    notes: Iterable[Note],
    at: Callable[[float], float],
    rng: np.random.Generator,
    *,
    timing: float = 0.006,
    touch: float = 4.0,
    legato: float = 1.0,
) -> list[Note]:
    """Play a score as hands do: a little early or late (s, standard deviation), never twice equally strong."""
    played = []
    for note in notes:
        start = max(0.0, at(note.start) + rng.normal(0, timing))
        length = max(0.03, (at(note.start + note.length) - at(note.start)) * legato)
        velocity = float(np.clip(note.velocity + rng.normal(0, touch), 1, 127))
        played.append(Note(start, length, note.pitch, velocity))
    return played


def render(parts: list[Part]) -> Sound:
    """Let FluidSynth play the parts, without reverb or chorus: (2, n) samples at 44.1 kHz."""
    import soundfile

    with TemporaryDirectory() as folder:
        midi, wave = Path(folder, "score.mid"), Path(folder, "score.wav")
        midi.write_bytes(_midi_file(parts))
        command = ["fluidsynth", "-niq", "-g", "0.5", "-r", str(SR), "-R", "0", "-C", "0"]
        output = ["-T", "wav", "-O", "float", "-F", str(wave), str(SOUND_FONT), str(midi)]
        subprocess.run(command + output, check=True, capture_output=True)
        samples, _ = soundfile.read(wave)
    return samples.T


def _midi_file(parts: list[Part]) -> bytes:
    """A standard MIDI file, format 1, one track a part."""
    channels = [c for c in range(16) if c != 9]
    tracks = [_track(part, 9 if part.drums else channels[i]) for i, part in enumerate(parts)]
    header = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), 480)
    return header + b"".join(struct.pack(">4sI", b"MTrk", len(t)) + t for t in tracks)


def _track(part: Part, channel: int) -> bytes:
    events = sorted(_events(part, channel), key=lambda event: event[0])
    ticks = [round(seconds * TICKS_PER_SECOND) for seconds, _ in events]
    steps = [ticks[0], *(after - before for before, after in pairwise(ticks))]
    body = b"".join(_variable_length(step) + data for step, (_, data) in zip(steps, events, strict=True))
    return body + b"\x00\xff\x2f\x00"


def _events(part: Part, channel: int) -> Events:
    control, bend = 0xB0 | channel, 0xE0 | channel
    settings = [(101, 0), (100, 0), (6, BEND_RANGE), (7, part.volume), (10, part.pan)]
    events: Events = [(0.0, bytes([0xC0 | channel, part.program]))]
    events += [(0.0, bytes([control, number, value])) for number, value in settings]
    for note in _apart(part.notes):
        key = round(note.pitch)
        events.append((note.start, bytes([0x90 | channel, key, round(note.velocity)])))
        events.append((note.start + note.length, bytes([0x80 | channel, key, 0])))
    for seconds, semitones in part.bends:
        value = int(np.clip(8192 + 8192 * semitones / BEND_RANGE, 0, 16_383))
        events.append((seconds, bytes([bend, value & 127, value >> 7])))
    return events


def _apart(notes: list[Note]) -> list[Note]:
    """End each note before its key is struck again: a late note-off would silence the new one."""
    struck: dict[int, float] = {}
    apart = []
    for note in sorted(notes, key=lambda n: n.start, reverse=True):
        room = struck.get(round(note.pitch), float("inf")) - note.start - 0.005
        apart.append(replace(note, length=max(0.01, min(note.length, room))))
        struck[round(note.pitch)] = note.start
    return apart


def _variable_length(value: int) -> bytes:
    """MIDI's numbers: seven bits a byte, the high bit on all but the last."""
    if value < 0:
        raise ValueError("an event lies before the start")
    groups = [value & 127]
    while value := value >> 7:
        groups.append(128 | value & 127)
    return bytes(reversed(groups))

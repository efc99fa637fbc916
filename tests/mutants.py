"""Damaged music files: each the same for the same number, whatever was made before it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

CODE = re.compile(rb"[A-Za-z\xa9 -]{3}[A-Za-z0-9 ]")  # what chunks, atoms and frames are called
SIZES = (
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\x7f"),
    *(b"\0\0\0\x07", b"\x10\0\0\0", b"\0\x10\0\0", b"\x7f\x7f\x7f\x7f", b"\xfe\xff\xff\xff", b"\0\0\0\x80"),
)
EDGE = 600  # bytes at either end, where headers and tags are
NEAR = 40  # bytes from a code to what belongs to it

Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def mutant(sources: Sequence[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """One damaged file.

    Parameters
    ----------
    sources
        Name and content of the files that it can be made of.
    seed, number
        Which of all that there are.

    Returns
    -------
    A name, which may promise another kind of file, and the content.
    """
    rng = random.Random(f"{seed} {number}")
    name, content = rng.choice(sources)
    data = bytearray(content)
    others = [other for _, other in sources]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(MUTATIONS)(data, rng, others)
    if rng.random() < 0.05:
        name = rng.choice(sources)[0]
    return f"{number:06} {name}", bytes(data)


def _spot(data: bytearray, rng: random.Random) -> int:
    """An offset: near an end, at a code somewhere, or anywhere."""
    size = len(data)
    if not size:
        return 0
    where = rng.random()
    if where < 0.3:
        return rng.randrange(min(EDGE, size))
    if where < 0.45:
        return size - 1 - rng.randrange(min(EDGE, size))
    if where < 0.8:
        start = rng.choice((0, 0, max(0, size - 30_000), rng.randrange(size)))
        codes = [match.start() for match in CODE.finditer(data, start, start + 30_000)]
        if codes:
            return min(size - 1, max(0, rng.choice(codes) + rng.randrange(-8, NEAR)))
    return rng.randrange(size)


def flip_bits(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _n in range(rng.choice((1, 1, 3, 20))):
        if data:
            data[_spot(data, rng)] ^= 1 << rng.randrange(8)


def claim_sizes(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _n in range(rng.choice((1, 1, 2))):
        at = _spot(data, rng)
        width = rng.choice((1, 2, 3, 4, 4, 4, 8))
        data[at : at + width] = (rng.choice(SIZES) * 2)[:width]


def cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Leave out the end, or the beginning."""
    at = _spot(data, rng)
    if rng.random() < 0.8:
        del data[at:]
    else:
        del data[:at]


def drop(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _spot(data, rng)
    del data[at : at + rng.choice((1, 2, 4, 8, 30, 4096))]


def insert(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _spot(data, rng)
    data[at:at] = rng.choice(
        (rng.randbytes(rng.randrange(1, 60)), b"\0" * 600, b"\xff" * 40, b"ID3\4\0\0\x7f\x7f\x7f\x7f")
    )


def overwrite(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, n = _spot(data, rng), rng.choice((1, 4, 16, 300))
    data[at : at + n] = rng.choice((rng.randbytes(n), b"\0" * n, b"\xff" * n))


def repeat(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Put a stretch there twice, or very often."""
    at, n = _spot(data, rng), rng.choice((4, 30, 500, 20_000))
    data[at:at] = data[at : at + n] * rng.choice((1, 1, 2, 1000 // n + 1))


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """Go on as another file does."""
    other = rng.choice(others)
    data[_spot(data, rng) :] = other[_spot(bytearray(other), rng) :]


def transplant(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """Put the head of another file before this one, or its end behind it."""
    other, n = rng.choice(others), rng.choice((10, 128, 160, 2000, 20_000))
    if rng.random() < 0.5:
        data[0:0] = other[:n]
    else:
        data += other[-n:]


MUTATIONS: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, claim_sizes, claim_sizes, claim_sizes),
    *(cut, drop, insert, overwrite, repeat, splice, transplant),
)

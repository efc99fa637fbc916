"""What the 50 tags mean: their kind, which of them say the same, and which words go into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

MAX_GENRES = 3


class Kind(str, Enum):
    """What a tag speaks of."""

    GENRE = "genre"
    INSTRUMENT = "instrument"
    VOCAL = "vocal"
    MOOD = "mood"
    NEGATIVE = "negative"


@dataclass(frozen=True)
class Word:
    """One word for a group of tags that mean the same."""

    name: str  # as it stands in a file
    kind: Kind
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """What a file is to say, best first."""

    genres: tuple[str, ...]
    comment: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to say; abstaining is a normal result."""
        return bool(self.genres or self.comment)


def _plain(kind: Kind, *tags: str) -> tuple[Word, ...]:
    return tuple(Word(tag.title() if kind is Kind.GENRE else tag, kind, (tag,)) for tag in tags)


VOCALS = Word("vocals", Kind.VOCAL, ("vocal", "vocals", "voice", "singing"))
INSTRUMENTAL = Word("instrumental", Kind.NEGATIVE, ("no vocals", "no vocal", "no voice"))
WORDS = (
    Word("Classical", Kind.GENRE, ("classical", "classic")),
    *_plain(Kind.GENRE, "techno", "electronic", "rock", "ambient", "indian", "opera", "pop", "new age", "dance"),
    *_plain(Kind.GENRE, "country", "metal", "choral"),
    *_plain(Kind.INSTRUMENT, "guitar", "strings", "drums", "piano", "violin", "synth", "harpsichord", "flute"),
    *_plain(Kind.INSTRUMENT, "sitar", "harp", "cello"),
    VOCALS,
    Word("female vocals", Kind.VOCAL, ("female", "woman", "female vocal", "female voice")),
    Word("male vocals", Kind.VOCAL, ("male", "man", "male vocal", "male voice")),
    *_plain(Kind.VOCAL, "choir"),
    *_plain(Kind.MOOD, "slow", "fast", "loud", "quiet", "soft", "weird", "solo"),
    Word("beat", Kind.MOOD, ("beat", "beats")),
    INSTRUMENTAL,
)
WORD_OF = {tag: word for word in WORDS for tag in word.tags}


def kind_of(tag: str) -> Kind:
    """Kind of one of the 50 tags; a tag of somebody's own bundle counts as a mood."""
    return WORD_OF[tag].kind if tag in WORD_OF else Kind.MOOD


def choose(
    scores: Sequence[float],
    tags: Sequence[str],
    thresholds: Mapping[str, float],
    *,
    top: int | None = None,
    min_score: float | None = None,
) -> Words:
    """Choose the words that a track's scores stand up for.

    Parameters
    ----------
    scores
        (50,) in [0, 1], in the order of `tags`.
    tags
        Names of the scores.
    thresholds
        From which score each tag is believed.
    top
        At most so many words in the comment; None: all that are believed.
    min_score
        One threshold for all tags in place of theirs.
    """
    score_of = dict(zip(tags, map(float, scores), strict=True))
    believed = [word for word in WORDS if _is_believed(word, score_of, thresholds, min_score)]
    believed.sort(key=lambda word: -_best(word, score_of))
    if INSTRUMENTAL in believed and _best(INSTRUMENTAL, score_of) <= _best(VOCALS, score_of):
        believed.remove(INSTRUMENTAL)
    genres = [word.name for word in believed if word.kind is Kind.GENRE]
    others = [word.name for word in believed if word.kind is not Kind.GENRE]
    return Words(tuple(genres[:MAX_GENRES]), tuple(others[:top]))


def _is_believed(
    word: Word, score_of: Mapping[str, float], thresholds: Mapping[str, float], min_score: float | None
) -> bool:
    heard = [tag for tag in word.tags if tag in score_of]
    return any(score_of[tag] >= (thresholds[tag] if min_score is None else min_score) for tag in heard)


def _best(word: Word, score_of: Mapping[str, float]) -> float:
    return max(score_of.get(tag, 0.0) for tag in word.tags)

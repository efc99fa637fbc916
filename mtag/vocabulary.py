"""What the 50 tags mean: their kind, which of them say the same, and which words go into a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from mtag.field import Field

MAX_GENRES = 3

_Value = TypeVar("_Value")


class Kind(str, Enum):
    """What a tag speaks of."""

    GENRE = "genre"
    INSTRUMENT = "instrument"
    VOCAL = "vocal"
    MOOD = "mood"
    NEGATIVE = "negative"


Fields = Mapping[Field, frozenset[Kind]]  # the kinds of words that go to each field
Words = Mapping[Field, tuple[str, ...]]  # what a file is to say, best first; empty where nothing was believed


@dataclass(frozen=True)
class Word:
    """One word for a group of tags that mean the same."""

    name: str  # as it stands in a file
    kind: Kind
    tags: tuple[str, ...]


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

DEFAULT_FIELDS: Fields = {Field.GENRE: frozenset({Kind.GENRE}), Field.COMMENT: frozenset(Kind) - {Kind.GENRE}}


def kind_of(tag: str) -> Kind:
    """Kind of one of the 50 tags; a tag of somebody's own bundle counts as a mood."""
    return WORD_OF[tag].kind if tag in WORD_OF else Kind.MOOD


def tags_named(name: str) -> tuple[str, ...]:
    """The tags that a person means by a name, none if there are no such tags.

    A word as it stands in files ("Classical", "female vocals") means all its tags, any other tag itself alone.
    """
    folded = name.casefold()
    grouped = (word.tags for word in WORDS if word.name.casefold() == folded)
    return next(grouped, (folded,) if folded in WORD_OF else ())


def known_names() -> tuple[str, ...]:
    """Every name that `tags_named` knows."""
    return tuple(dict.fromkeys([*WORD_OF, *(word.name for word in WORDS)]))


@dataclass(frozen=True, repr=False)
class Vocabulary:
    """Which words there are, from which score each is believed, and which fields they go to."""

    words: tuple[Word, ...] = WORDS
    thresholds: Mapping[str, float] = field(default_factory=dict)  # tag -> score, in place of the bundle's
    fields: Fields = field(default_factory=lambda: DEFAULT_FIELDS)
    max_genres: int = MAX_GENRES

    def __repr__(self) -> str:
        # Equal in all processes, which a set's order is not: it takes part in fingerprints that are kept.
        return f"Vocabulary({json.dumps(self.describe())})"

    def describe(self) -> dict[str, object]:
        """Everything that decides over words, as plain values for JSON; equal for vocabularies that choose the same."""
        return {
            "words": [[word.name, word.kind.value, *word.tags] for word in self.words],
            "thresholds": dict(sorted(self.thresholds.items())),
            "fields": {place.value: sorted(kind.value for kind in self.fields.get(place, ())) for place in Field},
            "max_genres": self.max_genres,
        }

    def word_of(self, tag: str) -> Word | None:
        """The word that a tag is written as, None for one that is hidden."""
        return next((word for word in self.words if tag in word.tags), None)

    def fields_of(self, kind: Kind) -> tuple[Field, ...]:
        """The fields that words of a kind go to."""
        return tuple(place for place in Field if kind in self.fields.get(place, ()))

    def choose(
        self,
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
            From which score each tag is believed where this vocabulary has no threshold of its own.
        top
            At most so many words in each field but the genre; None: all that are believed.
        min_score
            One threshold for all tags in place of theirs.

        Returns
        -------
        The fields that have something to say; abstaining is a normal result.
        """
        score_of = dict(zip(tags, map(float, scores), strict=True))
        if _best(INSTRUMENTAL, score_of) <= _best(VOCALS, score_of):
            score_of = {tag: score for tag, score in score_of.items() if tag not in INSTRUMENTAL.tags}
        least = {**thresholds, **self.thresholds} if min_score is None else dict.fromkeys(tags, min_score)
        heard = {tag for tag, score in score_of.items() if score >= least[tag]}
        believed = [word for word in self.words if not heard.isdisjoint(word.tags)]
        believed.sort(key=lambda word: -_best(word, score_of))
        chosen = {}
        for place in Field:
            names = [word.name for word in believed if word.kind in self.fields.get(place, ())]
            chosen[place] = tuple(names[: self.max_genres if place is Field.GENRE else top])
        return {place: names for place, names in chosen.items() if names}


def tailor(
    rename: Mapping[str, str] | None = None,
    hide: Iterable[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> Vocabulary:
    """Make a vocabulary to a person's taste; keys are names that `tags_named` knows.

    Tags that are given the same name become one word. A name for a single tag counts more than one for its group.
    """
    names = _by_tag(rename or {})
    hidden = {tag for name in hide for tag in tags_named(name)}
    kept = {word.name.casefold(): word for word in WORDS if any(tag not in names for tag in word.tags)}
    groups: dict[str, list[str]] = {}
    for tag in WORD_OF:
        if tag not in hidden:
            groups.setdefault(names.get(tag, WORD_OF[tag].name).casefold(), []).append(tag)
    words = []
    for folded, tags in groups.items():
        own = kept.get(folded)
        name = own.name if own else names[tags[0]]
        words.append(Word(name, own.kind if own else kind_of(tags[0]), tuple(tags)))
    return Vocabulary(tuple(words), _by_tag(thresholds or {}))


def _by_tag(values: Mapping[str, _Value]) -> dict[str, _Value]:
    """Values for tags out of values for names; the name that means fewer tags counts more."""
    general_first = sorted(values, key=lambda name: -len(tags_named(name)))
    return {tag: values[name] for name in general_first for tag in tags_named(name)}


def _best(word: Word, score_of: Mapping[str, float]) -> float:
    return max(score_of.get(tag, 0.0) for tag in word.tags)

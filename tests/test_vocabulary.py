import json
import os
import subprocess
import sys

import pytest

from mtag.bundle import load_bundle
from mtag.field import Field
from mtag.vocabulary import WORD_OF, WORDS, Kind, Vocabulary, kind_of, known_names, tags_named, tailor

TAGS = load_bundle().tags


def words(top=None, min_score=None, threshold=0.3, vocabulary=None, **scores):
    named = {name.replace("_", " "): score for name, score in scores.items()}
    values = [named.get(tag, 0.0) for tag in TAGS]
    thresholds = dict.fromkeys(TAGS, threshold)
    return (vocabulary or Vocabulary()).choose(values, TAGS, thresholds, top=top, min_score=min_score)


def genres(**given):
    return words(**given).get(Field.GENRE, ())


def comment(**given):
    return words(**given).get(Field.COMMENT, ())


def test_every_tag_belongs_to_exactly_one_word():
    assert sorted(WORD_OF) == sorted(TAGS)
    assert sum(len(word.tags) for word in WORDS) == len(TAGS) == 50


def test_thirteen_words_are_genres():
    assert sum(word.kind is Kind.GENRE for word in WORDS) == 13


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("classic", "genre"), ("sitar", "instrument"), ("man", "vocal"), ("slow", "mood"), ("no voice", "negative")],
)
def test_kinds_are_the_words_that_programs_read(tag, kind):
    assert kind_of(tag).value == kind


def test_synonyms_merge_into_one_word():
    chosen = words(classical=0.4, classic=0.5, female=0.4, female_voice=0.5)
    assert chosen[Field.GENRE] == ("Classical",)
    assert chosen[Field.COMMENT] == ("female vocals",)


def test_words_stand_best_first():
    assert genres(techno=0.4, electronic=0.6, drums=0.5, beat=0.9) == ("Electronic", "Techno")
    assert comment(techno=0.4, electronic=0.6, drums=0.5, beat=0.9) == ("beat", "drums")


def test_there_are_at_most_three_genres():
    assert len(genres(techno=0.4, electronic=0.6, dance=0.5, ambient=0.9, new_age=0.7)) == 3


def test_below_every_threshold_nothing_is_said():
    assert not words(techno=0.29, guitar=0.29)
    assert genres(techno=0.3) == ("Techno",)


def test_one_least_score_can_stand_in_for_all_thresholds():
    assert genres(techno=0.29, min_score=0.2) == ("Techno",)
    assert genres(techno=0.01, min_score=0.0)[0] == "Techno"


def test_top_shortens_the_comment_alone():
    chosen = words(top=1, guitar=0.5, slow=0.6, rock=0.4)
    assert chosen[Field.COMMENT] == ("slow",)
    assert chosen[Field.GENRE] == ("Rock",)


def test_negatives_become_instrumental_only_above_the_vocals():
    assert comment(no_vocals=0.5, vocal=0.2) == ("instrumental",)
    assert comment(no_vocals=0.5, vocal=0.6) == ("vocals",)
    assert comment(no_vocals=0.5, vocal=0.5) == ("vocals",)


def test_an_infinite_threshold_is_never_reached():
    assert not words(threshold=float("inf"), opera=1.0)


def test_a_tag_can_be_written_as_another_word():
    vocabulary = tailor(rename={"indian": "Indian Classical", "Classical": "Klassik"})
    assert genres(vocabulary=vocabulary, indian=0.5, classic=0.4) == ("Indian Classical", "Klassik")


def test_tags_with_one_name_become_one_word_of_the_words_kind():
    vocabulary = tailor(rename={"techno": "electronic", "choir": "Choral"})
    assert genres(vocabulary=vocabulary, techno=0.5, electronic=0.4, choir=0.6) == ("Choral", "Electronic")
    merged = tailor(rename={"harp": "plucked", "guitar": "plucked"})
    assert comment(vocabulary=merged, harp=0.5, guitar=0.4) == ("plucked",)
    assert sum(len(word.tags) for word in merged.words) == 50


def test_a_word_means_all_its_tags_and_any_other_name_one_tag():
    assert tags_named("female vocals") == ("female", "woman", "female vocal", "female voice")
    assert tags_named("CLASSICAL") == ("classical", "classic")
    assert tags_named("classic") == ("classic",)
    assert tags_named("jazz") == ()
    assert all(tags_named(name) for name in known_names())


def test_hidden_words_and_tags_are_not_written():
    hidden = tailor(hide=["weird", "vocals", "classic"])
    assert comment(vocabulary=hidden, weird=0.9, voice=0.9, slow=0.4) == ("slow",)
    assert genres(vocabulary=hidden, classic=0.9) == ()
    assert genres(vocabulary=hidden, classical=0.9) == ("Classical",)
    assert hidden.word_of("weird") is None


def test_hiding_the_vocals_does_not_make_a_song_instrumental():
    assert comment(vocabulary=tailor(hide=["vocals"]), no_vocals=0.5, voice=0.6) == ()
    renamed = tailor(rename={"instrumental": "Ambient", "vocals": "song"})
    assert genres(vocabulary=renamed, no_vocals=0.5, voice=0.6) == ()
    assert genres(vocabulary=renamed, no_vocals=0.6, voice=0.5) == ("Ambient",)


def test_a_threshold_of_ones_own_counts_more_and_the_narrower_name_most():
    own = tailor(thresholds={"female": 0.2, "female vocals": 0.9})
    assert comment(vocabulary=own, woman=0.8) == ()
    assert comment(vocabulary=own, female=0.25) == ("female vocals",)
    assert comment(vocabulary=own, min_score=0.5, woman=0.8) == ("female vocals",)


def test_kinds_go_to_the_fields_that_ask_for_them():
    fields = {
        Field.GENRE: frozenset({Kind.GENRE}),
        Field.MOOD: frozenset({Kind.MOOD}),
        Field.GROUPING: frozenset({Kind.INSTRUMENT, Kind.MOOD}),
        Field.COMMENT: frozenset(),
    }
    chosen = words(vocabulary=Vocabulary(fields=fields), top=1, rock=0.5, guitar=0.4, slow=0.6, fast=0.5, voice=0.5)
    assert chosen == {Field.GENRE: ("Rock",), Field.MOOD: ("slow",), Field.GROUPING: ("slow",)}


def test_a_player_of_one_genre_gets_the_best():
    assert genres(vocabulary=Vocabulary(max_genres=1), rock=0.5, pop=0.6) == ("Pop",)


def test_a_tag_that_a_bundle_does_not_know_is_never_heard():
    assert Vocabulary().choose([0.9], ["rock"], {"rock": 0.5}) == {Field.GENRE: ("Rock",)}


def test_a_description_changes_with_whatever_changes_the_words():
    others = [
        tailor(rename={"rock": "Rock!"}),
        tailor(hide=["rock"]),
        tailor(thresholds={"rock": 0.1}),
        Vocabulary(max_genres=1),
        Vocabulary(fields={Field.MOOD: frozenset({Kind.MOOD})}),
    ]
    descriptions = [json.dumps(vocabulary.describe()) for vocabulary in [Vocabulary(), *others]]
    assert len(set(descriptions)) == len(descriptions)
    assert tailor().describe() == Vocabulary().describe()
    one, other = {"rock": 0.1, "pop": 0.2}, {"pop": 0.2, "rock": 0.1}
    assert json.dumps(tailor(thresholds=one).describe()) == json.dumps(tailor(thresholds=other).describe())


def test_a_vocabulary_is_told_in_the_same_words_by_every_process():
    script = "from mtag.vocabulary import Vocabulary; print(Vocabulary())"
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(told) == 1

import pytest

from mtag.ensemble import load_bundle
from mtag.vocabulary import WORD_OF, WORDS, Kind, choose, kind_of

TAGS = load_bundle().tags


def words(top=None, min_score=None, threshold=0.3, **scores):
    named = {name.replace("_", " "): score for name, score in scores.items()}
    values = [named.get(tag, 0.0) for tag in TAGS]
    return choose(values, TAGS, dict.fromkeys(TAGS, threshold), top=top, min_score=min_score)


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
    assert chosen.genres == ("Classical",)
    assert chosen.comment == ("female vocals",)


def test_words_stand_best_first():
    assert words(techno=0.4, electronic=0.6, drums=0.5, beat=0.9).genres == ("Electronic", "Techno")
    assert words(techno=0.4, electronic=0.6, drums=0.5, beat=0.9).comment == ("beat", "drums")


def test_there_are_at_most_three_genres():
    assert len(words(techno=0.4, electronic=0.6, dance=0.5, ambient=0.9, new_age=0.7).genres) == 3


def test_below_every_threshold_nothing_is_said():
    assert not words(techno=0.29, guitar=0.29)


def test_one_least_score_can_stand_in_for_all_thresholds():
    assert words(techno=0.29, min_score=0.2).genres == ("Techno",)


def test_top_shortens_the_comment_alone():
    chosen = words(top=1, guitar=0.5, slow=0.6, rock=0.4)
    assert chosen.comment == ("slow",)
    assert chosen.genres == ("Rock",)


def test_negatives_become_instrumental_only_above_the_vocals():
    assert words(no_vocals=0.5, vocal=0.2).comment == ("instrumental",)
    assert words(no_vocals=0.5, vocal=0.6).comment == ("vocals",)


def test_an_infinite_threshold_is_never_reached():
    assert not words(threshold=float("inf"), opera=1.0)

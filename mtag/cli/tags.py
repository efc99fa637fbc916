"""`mtag tags`: what the fifty tags are, and what becomes of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import typer

from mtag.cli.options import Fast, For, Json, Weights, config_of

if TYPE_CHECKING:
    from mtag.bundle import Bundle
    from mtag.vocabulary import Kind, Vocabulary


class Row(NamedTuple):
    """What becomes of one tag."""

    tag: str
    kind: Kind
    word: str | None  # that stands in files for it and its synonyms; None: it is hidden, or a tag of another bundle
    fields: tuple[str, ...]  # where the word goes
    threshold: float | None  # score from which it is believed; None: from none
    precision: float | None  # at that threshold, where it was measured
    recall: float | None


def tags(
    context: typer.Context, fast: Fast = False, player: For = None, as_json: Json = False, weights: Weights = None
) -> None:
    """List the tags: kind, word, field, threshold, precision, recall.

    Tags with the same word are synonyms: the best of them counts. Precision and recall are those on held-out tracks, at
    the threshold that the bundle came with. The configuration is applied.
    """
    from mtag.bundle import FAST, FULL, load_bundle

    rows = _rows(load_bundle(weights), FAST if fast else FULL, config_of(context).vocabulary(player))
    if as_json:
        from mtag.cli.records import print_record

        for row in rows:
            print_record(row._asdict())
    else:
        _show(rows)


def _rows(bundle: Bundle, combination: str, vocabulary: Vocabulary) -> list[Row]:
    from mtag.vocabulary import WORD_OF, kind_of

    thresholds, measured = bundle.thresholds(combination), bundle.measured(combination)
    rows = []
    for tag in sorted(bundle.tags, key=[*WORD_OF, *bundle.tags].index):
        word = vocabulary.word_of(tag)
        threshold = vocabulary.thresholds.get(tag, thresholds[tag])
        figures = measured.get(tag, {}) if threshold == thresholds[tag] else {}
        rows.append(
            Row(
                tag,
                word.kind if word else kind_of(tag),
                word.name if word else None,
                tuple(place.value for place in vocabulary.fields_of(word.kind)) if word else (),
                threshold if math.isfinite(threshold) else None,
                figures.get("precision"),
                figures.get("recall"),
            )
        )
    return rows


def _show(rows: Sequence[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    from mtag.cli.render import STYLES, console_for_people, printable

    console = console_for_people()
    is_measured = any(row.precision is not None for row in rows)
    table = Table(box=None, pad_edge=False)
    for heading in ("tag", "kind", "written as", "in"):
        table.add_column(heading)
    for heading in ("from", "precision", "recall") if is_measured else ("from",):
        table.add_column(heading, justify="right")
    for row in rows:
        figures = [row.threshold, row.precision, row.recall] if is_measured else [row.threshold]
        table.add_row(
            printable(row.tag),
            Text(row.kind.value, STYLES[row.kind]),
            Text(printable(row.word)) if row.word else Text("not written", "dim"),
            ", ".join(row.fields),
            *(f"{figure:.2f}" if figure is not None else "-" for figure in figures),
        )
    console.print(table)

"""A bundle's model card: its manifest told to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtag.bundle import FULL, load_bundle

COLUMNS = ("roc_auc", "pr_auc", "correlation", "roc_auc_micro", "pr_auc_micro")
HEADINGS = ("ROC-AUC", "PR-AUC", "correlation", "ROC-AUC micro", "PR-AUC micro")
WEAK = 0.5  # precision or recall below which the card names a tag

CARD = """\
# {name}: model card

Three small convolutional networks and their combiners that give fifty scores to 29.1 s of music, one for each of
MagnaTagATune's most frequent tags. Architecture: the networks of "Models 1 to 3" and the combiner as `docs/training.md`
describes them. This card is made from `manifest.json` by `mtag train`; the manifest has every figure in full.

Licence of the weights: {licence}, see [LICENSE](../LICENSE).

## What they learned from

Labels: {labels}. Corpus: {windows} windows of {tracks} tracks, split by {unit} into {split}.
{sources}
Seed {seed}; commit `{commit}`; torch {torch} on {device}.

| member | began as | windows seen | minutes | validation correlation |
| --- | --- | --- | --- | --- |
{members}

Each combiner begins as a regression on its members' logits, fitted on validation {unit}s alone.{shared}

## How well they hear

{test_windows} windows of test {unit}s, on which nothing was fitted. Truth: the {truth};
correlation is the mean over the tags with the labels themselves. `mtag eval CORPUS --precision fp32` prints this table.

| models | {headings} | paper: ROC-AUC on MagnaTagATune |
| --- |{rules} --- |
{rows}

{paper}
{order}{twins}
## Tag by tag

The whole ensemble on the test windows. A tag is believed from its threshold on, which was chosen on validation {unit}s
for a precision of {precision:.0%}; a window carries a tag where {carries}. A dash: no
such window, or the threshold was never reached. `mtag tags` prints thresholds, precision and recall.

| tag | threshold | precision | recall | ROC-AUC | correlation |
| --- | --- | --- | --- | --- | --- |
{tags}

## What they cannot hear

* Jazz, hip-hop, blues, folk, reggae, soul and much else are not among the fifty tags: such music gets tags that are
  near (guitar, drums, slow), or none.
{origin}
* Loudness and bandwidth count: a quiet, muffled or distorted recording gets other scores than a clear one.
* Below {weak:.0%} precision or recall on the test windows: {weaklings}.
{small}"""

# What is so of clips that a teacher has scored, and what of clips that people have labelled: MagnaTagATune's.
SOFT = {
    "unit": "track",
    "shared": """ A track is
what has one source and path; of the same piece under two paths one may be learnt from and the other measured on.
`docs/training.md` names the cases that are known, and their effect.""",
    "paper": """\
The paper's column is its own ensemble on another task. **On MagnaTagATune's test set this bundle is
not measured here**: its audio was not at hand; `mtag eval` on a MagnaTagATune folder measures it.""",
    "origin": """\
* They imitate a teacher, with its mistakes; nobody's ears were asked. Its scores are low for rare tags, and a track of
  many moods gets the mean of its windows.""",
    "small": "* The corpus is small, and much of it is classical music, game music and synthesised phrases.\n",
}
HARD = {
    "unit": "clip",
    "shared": """ Clips of one track
may stand on several sides: networks have heard other parts of the music that they are measured on.""",
    "paper": "The paper's column is its own ensemble, on a split of the same kind.",
    "carries": "people gave it",
    "origin": "* Many tags were given to few clips, and a track of many moods gets the mean of its windows.",
    "small": "",
}


def write_card(folder: Path) -> Path:
    """Write `README.md` beside a complete manifest; gives its path.

    Raises
    ------
    WeightsError
        The folder holds no bundle.
    """
    manifest = load_bundle(folder).manifest
    training, test = manifest["training"], manifest["metrics"]["fp32"]
    present = manifest["thresholds"]["present"]
    told = SOFT | {"carries": f"the teacher gives it at least {present}"} if training["labels"] == "soft" else HARD
    rows = {row["name"]: row for row in test["rows"]}
    card = CARD.format(
        name=manifest["name"],
        licence=manifest["licence"],
        labels=_labels(training),
        windows=sum(training["windows"].values()),
        tracks=sum(training["tracks"].values()),
        split=", ".join(f"{n} windows for {side}" for side, n in training["windows"].items()),
        sources=_sources(training.get("sources", {})),
        seed=training["seed"],
        commit=training["commit"],
        torch=training["torch"],
        device=training["device"],
        members="\n".join(_member(name, record) for name, record in training["members"].items()),
        test_windows=test["windows"],
        truth=test["truth"],
        headings=" | ".join(HEADINGS),
        rules=" --- |" * len(HEADINGS),
        rows="\n".join(
            _line(row["name"], *_figures(row, COLUMNS), f"{row['paper_roc_auc']:.3f}") for row in rows.values()
        ),
        order=_order(rows),
        twins=_twins(manifest),
        precision=manifest["thresholds"]["precision"],
        **told,
        tags="\n".join(_tag_lines(manifest, rows[FULL])),
        weak=WEAK,
        weaklings=", ".join(_weaklings(rows[FULL])) or "none",
    )
    path = folder / "README.md"
    path.write_text(card, encoding="utf-8")
    return path


def _labels(training: dict[str, Any]) -> str:
    teacher = training.get("teacher")
    if teacher:
        return (
            f"the scores of a published teacher (`{teacher['name']}`, SHA-256 {teacher['sha256'][:16]}...) for each"
            f" piece of 3 s of every training window, as it is and in {training['versions'] - 1} augmented versions"
        )
    return f"the corpus's own ({training['labels']})"


def _sources(sources: dict[str, int]) -> str:
    listed = ", ".join(f"{name} ({n})" for name, n in sorted(sources.items(), key=lambda item: -item[1]))
    return f"Windows by source: {listed}.\n" if sources else ""


def _member(name: str, record: dict[str, Any]) -> str:
    recipe = record["recipe"]
    seen = sum(cycle["n_windows"] for cycle in recipe["cycles"])
    last = record["validation"][-1]
    begun = f"that of {record['start']}" if record.get("start") else "random weights"
    return _line(name, begun, f"{seen:,}", f"{record['seconds'] / 60:.0f}", f"{last['correlation']:.3f}")


def _order(rows: dict[str, dict[str, Any]]) -> str:
    """Whether combinations beat their parts, as the paper's do."""
    pairs = [
        (whole, part)
        for whole in rows
        for part in rows
        if part != whole and set(part.split("+")) < set(whole.split("+"))
    ]
    broken = [
        f"{whole} ({rows[whole][column]:.3f}) is not above {part} ({rows[part][column]:.3f}) in {heading}"
        for whole, part in pairs
        for column, heading in (("roc_auc", "ROC-AUC"), ("correlation", "correlation"))
        if _known(rows[whole].get(column), rows[part].get(column)) and rows[whole][column] <= rows[part][column]
    ]
    if broken:
        return f"\nThe paper's order does not hold throughout: {'; '.join(broken)}.\n"
    return "\nEvery combination is above each of its parts in ROC-AUC and correlation, as the paper's are in ROC-AUC.\n"


def _known(*figures: float | None) -> bool:
    return None not in figures


def _twins(manifest: Mapping[str, Any]) -> str:
    """What the int8 twins lose, where there are any."""
    twins = manifest["metrics"].get("int8")
    if not twins:
        return ""
    exact = {row["name"]: row for row in manifest["metrics"]["fp32"]["rows"]}
    lines = [
        _line(row["name"], *_figures(row, COLUMNS), _change(exact[row["name"]]["roc_auc"], row["roc_auc"]))
        for row in twins["rows"]
    ]
    table = "\n".join([_line("models", *HEADINGS, "ROC-AUC against float32"), "| --- |" + " --- |" * 6, *lines])
    sizes = [
        sum(entry["bytes"] for name, entry in manifest["files"].items() if name.endswith("_int8") == is_twin)
        for is_twin in (False, True)
    ]
    return (
        f"\n### In int8\n\nOn a CPU the int8 twins are used ({sizes[1] / 1e6:.1f} MB beside {sizes[0] / 1e6:.1f} MB);"
        f" `mtag eval CORPUS --precision int8`:\n\n{table}\n"
    )


def _tag_lines(manifest: Mapping[str, Any], row: dict[str, Any]) -> Iterable[str]:
    thresholds = manifest["thresholds"]["scores"][FULL]
    for tag, figures in row["per_tag"].items():
        yield _line(
            tag,
            _figure(thresholds[tag], 2),
            *_figures(figures, ("precision", "recall"), 2),
            *_figures(figures, ("roc_auc", "correlation")),
        )


def _weaklings(row: dict[str, Any]) -> Iterable[str]:
    for tag, figures in row["per_tag"].items():
        low = [
            f"{name} {figures[name]:.2f}"
            for name in ("precision", "recall")
            if (figures.get(name) or 1) < WEAK or figures.get(name) == 0
        ]
        if low:
            yield f"{tag} ({', '.join(low)})"


def _figures(figures: dict[str, Any], columns: Iterable[str], digits: int = 3) -> list[str]:
    return [_figure(figures.get(column), digits) for column in columns]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.4f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"

import json
import shutil

from mtag.bundle import load_bundle
from mtag.training.card import write_card


def card_of(folder, change):
    """The card of the bundle that ships with something of its manifest changed."""
    shutil.copytree(load_bundle().folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return " ".join(write_card(folder).read_text().split())


def test_the_card_that_ships_is_made_from_its_manifest(tmp_path):
    folder = load_bundle().folder
    assert card_of(tmp_path / "copy", lambda manifest: None) == " ".join((folder / "README.md").read_text().split())


def test_a_bundle_of_peoples_labels_tells_of_no_teacher_and_no_split_by_track(tmp_path):
    def change(manifest):
        manifest["training"] |= {"labels": "hard", "teacher": None, "sources": {}}
        manifest["thresholds"]["present"] = None

    card = card_of(tmp_path / "copy", change)
    assert "split by clip" in card
    assert "Clips of one track may stand on several sides" in card
    for foreign in ("None", "teacher gives", "imitate a teacher", "not measured here", "game music", "test tracks"):
        assert foreign not in card


def test_a_figure_that_could_not_be_measured_is_a_dash(tmp_path):
    def change(manifest):
        for precision in ("fp32", "int8"):
            for row in manifest["metrics"][precision]["rows"]:
                row |= {"roc_auc": None, "correlation": None}

    assert "| 1+2+3 | - | 0.900 | - |" in card_of(tmp_path / "copy", change)

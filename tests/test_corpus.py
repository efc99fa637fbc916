import csv

import numpy as np
import pytest

from mtag.corpus import read_corpus, split_corpus
from mtag.errors import CorpusError

N_TAGS_OF_MAGNATAGATUNE = 188


@pytest.fixture
def clips(tmp_path):
    ids = [f"{i:04x}" for i in range(60)]
    with (tmp_path / "clips.tsv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerow(["id", "source", "path", "start_s", "licence"])
        writer.writerows([clip, "somebody", f"track{i // 3}.mp3", "0", "CC0"] for i, clip in enumerate(ids))
    (tmp_path / "tags_mtat.txt").write_text("\n".join(f"tag {i}" for i in range(50)) + "\n")
    labels = np.random.default_rng(0).random((60, 50)).astype(np.float16)
    np.savez(tmp_path / "labels.npz", ids=np.array(ids[::-1]), mtat=labels[::-1])
    return tmp_path, labels


@pytest.fixture
def magnatagatune(tmp_path):
    names = [f"tag {i}" for i in range(N_TAGS_OF_MAGNATAGATUNE)]
    rng = np.random.default_rng(0)
    with (tmp_path / "annotations_final.csv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerow(["clip_id", *names, "mp3_path"])
        for i in range(64):
            answers = (rng.random(N_TAGS_OF_MAGNATAGATUNE) < np.linspace(0, 0.9, N_TAGS_OF_MAGNATAGATUNE)).astype(int)
            path = f"{i % 16:x}/artist-album-{i:02}-song-{i}-{i + 29}.mp3"
            writer.writerow([i, *answers, path])
            file = tmp_path / "mp3" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"" if i == 5 else b"sound")
    return tmp_path


def test_a_clips_folder_is_read_in_its_tables_order_whatever_the_labels_order(clips):
    folder, labels = clips
    corpus = read_corpus(folder)
    assert corpus.soft
    assert corpus.files[1] == folder / "clips" / "0" / "0001.opus"
    np.testing.assert_array_equal(corpus.labels, labels.astype(np.float32))


def test_no_track_stands_on_two_sides_of_a_clips_split(clips):
    corpus = read_corpus(clips[0])
    split = split_corpus(corpus, seed=1)
    sides = [{corpus.tracks[row] for row in side} for side in (split.train, split.validation, split.test)]
    assert [len(side) for side in sides] == [16, 2, 2]
    assert len(set.union(*sides)) == 20


def test_the_same_seed_splits_alike_and_another_does_not(clips):
    corpus = read_corpus(clips[0])
    assert split_corpus(corpus, 3).test.tolist() == split_corpus(corpus, 3).test.tolist()
    assert split_corpus(corpus, 3).test.tolist() != split_corpus(corpus, 4).test.tolist()


def test_a_clip_without_labels_is_named(clips):
    folder, labels = clips
    np.savez(folder / "labels.npz", ids=np.array(["0000"]), mtat=labels[:1])
    with pytest.raises(CorpusError, match="lacks 59 clips"):
        read_corpus(folder)


@pytest.mark.parametrize("label", [np.nan, -0.1, 1.5])
def test_a_label_that_is_no_score_is_named(clips, label):
    folder, labels = clips
    labels[7, 3] = label
    np.savez(folder / "labels.npz", ids=np.array([f"{i:04x}" for i in range(60)]), mtat=labels)
    with pytest.raises(CorpusError, match="0007 has a label"):
        read_corpus(folder)


def test_labels_of_another_number_of_tags_are_refused(clips):
    folder, labels = clips
    np.savez(folder / "labels.npz", ids=np.array([f"{i:04x}" for i in range(60)]), mtat=labels[:, :48])
    with pytest.raises(CorpusError, match=r"mtat is \(60, 48\), not \(n, 50\)"):
        read_corpus(folder)


def test_a_list_of_fewer_tags_is_refused(clips):
    folder, _ = clips
    (folder / "tags_mtat.txt").write_text("guitar\n")
    with pytest.raises(CorpusError, match="does not name 50 tags"):
        read_corpus(folder)


def test_a_clip_that_is_listed_as_two_tracks_is_refused(clips):
    folder, _ = clips
    with (folder / "clips.tsv").open("a") as table:
        table.write("0000\tsomebody\tcopy.mp3\t0\tCC0\n")
    with pytest.raises(CorpusError, match="lists 0000 more than once"):
        read_corpus(folder)


def test_magnatagatune_keeps_its_fifty_most_frequent_tags(magnatagatune):
    corpus = read_corpus(magnatagatune)
    assert not corpus.soft
    assert len(corpus.tags) == 50
    totals = corpus.labels.sum(axis=0)
    assert "tag 187" in corpus.tags
    assert "tag 0" not in corpus.tags
    assert set(np.unique(corpus.labels)) == {0, 1}
    assert totals[0] >= totals[-1] - 1  # one clip is missing


def test_magnatagatunes_empty_files_are_left_out(magnatagatune):
    assert len(read_corpus(magnatagatune).files) == 63


def test_magnatagatune_is_split_thirteen_to_one_to_two(magnatagatune):
    split = split_corpus(read_corpus(magnatagatune))
    assert [len(split.train), len(split.validation), len(split.test)] == [52, 4, 7]
    assert len({*split.train, *split.validation, *split.test}) == 63


def test_another_folder_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(CorpusError, match="neither clips"):
        read_corpus(tmp_path)

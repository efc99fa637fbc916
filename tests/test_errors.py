import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mtag.atomic import HardLinkedError
from mtag.audio.decode import packet_digest
from mtag.errors import ConfigError, FailureKind, FileError, SkippedError, WeightsError
from mtag.recorder import ChangedError

PATH = Path("song.mp3")
ERRORS = [
    FileError(PATH, FailureKind.DECODE, "is empty"),
    SkippedError(PATH, FailureKind.CHANGED, "was left alone"),
    HardLinkedError(PATH, 2),
    ChangedError(PATH),
    ConfigError(PATH, "[scan] jobs", "must be a number"),
    ConfigError(None, None, "cannot be read"),
    WeightsError("there are none"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "passed",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],
    ids=["copy", "deep", "pickle"],
)
def test_errors_keep_their_parts_when_they_are_copied_or_sent(error, passed):
    twin = passed(error)
    assert (type(twin), str(twin), twin.args, vars(twin)) == (type(error), str(error), error.args, vars(error))


def test_a_bad_file_costs_a_pool_of_processes_nothing_else(tmp_path):
    (tmp_path / "song.mp3").write_bytes(b"")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        with pytest.raises(FileError) as caught:
            pool.submit(packet_digest, tmp_path / "song.mp3").result()
        assert pool.submit(abs, -1).result() == 1
    assert (caught.value.path, caught.value.kind) == (tmp_path / "song.mp3", FailureKind.DECODE)

"""Decoding in other processes: the same samples, and no file that takes more than itself down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mtag.audio.decode import packet_digest, read_blocks
from mtag.audio.decoders import Decoders
from mtag.audio.process import Process
from mtag.audio.windows import WindowReader
from mtag.errors import DecoderError, FailureKind, FileError
from mtag.hearing import Ears, hear
from tests.encoding import encode, noise, tone
from tests.misbehaving import N_STEPS, STEP_SECONDS
from tests.tiny_bundle import TAGS, scores_of

ROOT = Path(__file__).parent.parent
SR = 16_000  # Hz
PATIENCE = 3.0  # s

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the bad files die by POSIX signals")


@pytest.fixture(scope="module")
def decoders():
    with Decoders() as opened:
        yield opened


@pytest.fixture
def bad(monkeypatch):
    """Decoders that misbehave as a file's name says."""
    monkeypatch.setattr("mtag.audio.decoders.WORKER", "tests.misbehaving")
    with Decoders(patience=PATIENCE) as opened:
        yield opened


@pytest.fixture
def song(tmp_path):
    """Give a function that makes a song of ten seconds with a name of one's own."""
    content = encode(tmp_path / "source.flac", noise(10, SR), SR).read_bytes()

    def make(name: str) -> Path:
        path = tmp_path / f"{name}.flac"
        path.write_bytes(content)
        return path

    return make


def decode(read, path):
    return np.concatenate(list(read(path)))


def failure(decoders, path):
    with pytest.raises(FileError) as caught:
        list(decoders.read_blocks(path))
    assert caught.value.path == path
    return caught.value.kind, caught.value.reason


# What a process gives


@pytest.mark.parametrize("suffix", [".mp3", ".flac", ".m4a", ".ogg", ".wav"])
def test_samples_and_digests_are_those_of_this_process(tmp_path, decoders, suffix):
    path = encode(tmp_path / f"song{suffix}", np.stack([tone(3), noise(3)]))
    np.testing.assert_array_equal(decode(decoders.read_blocks, path), decode(read_blocks, path))
    assert decoders.packet_digest(path) == packet_digest(path)


def test_what_is_wrong_with_a_file_is_said_as_in_this_process(tmp_path, decoders):
    text, empty, short = tmp_path / "text.mp3", tmp_path / "empty.mp3", encode(tmp_path / "short.wav", tone(0.5))
    text.write_text("no music")
    empty.touch()
    for path in (text, empty, short, tmp_path, tmp_path / "missing.mp3"):
        with pytest.raises(FileError) as here:
            list(WindowReader(path))
        with pytest.raises(FileError) as there:
            list(WindowReader(path, decoders.read_blocks))
        assert (there.value.path, there.value.kind, there.value.reason) == (path, here.value.kind, here.value.reason)
    with pytest.raises(FileError, match="not a music file"):
        decoders.packet_digest(text)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes names that are not UTF-8")
@pytest.mark.parametrize("name", [b"Bj\xf6rk \xff", b"two\nlines", b"-c", "\N{MUSICAL NOTE}".encode()])
def test_names_are_passed_on_whatever_their_bytes(song, decoders, monkeypatch, name):
    path = song(os.fsdecode(name))
    monkeypatch.chdir(path.parent)  # the process runs in another folder
    assert decode(decoders.read_blocks, Path(path.name)).size == 10 * SR


def test_threads_share_the_decoders(song, decoders):
    path = song("song")
    expected = decode(read_blocks, path)
    with ThreadPoolExecutor(4) as pool:
        for samples in pool.map(lambda path: decode(decoders.read_blocks, path), [path] * 8):
            np.testing.assert_array_equal(samples, expected)


def test_modules_in_the_current_folder_are_not_imported(tmp_path, song, monkeypatch):
    path = song("song")
    (tmp_path / "av.py").write_text("raise SystemExit(1)")
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    with Decoders() as decoders:
        assert decode(decoders.read_blocks, path).size == 10 * SR


# What a file can do to a process


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dies-at-once", "killed its decoder, which ended with SIGSEGV (Segmentation fault)"),
        ("dies-later", "killed its decoder, which ended with SIGSEGV (Segmentation fault)"),
        ("aborts", "killed its decoder, which ended with SIGABRT (Aborted)"),
        ("exits", "killed its decoder, which ended with exit code 3"),
        ("hangs", f"stalled its decoder: no sign of life for {PATIENCE:g} s"),
        ("stumbles", "stopped its decoder with ZeroDivisionError: something odd"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems word their signals otherwise")
def test_a_crash_costs_one_file_and_is_named(bad, song, name, reason):
    good = song("good")
    assert decode(bad.read_blocks, good).size == 10 * SR
    assert failure(bad, song(name)) == (FailureKind.CRASH, reason)
    assert decode(bad.read_blocks, good).size == 10 * SR


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory")
def test_a_file_that_asks_for_too_much_memory_fails_alone(bad, song):
    reason = "asks for more than the 1 GB of memory that a file may take"
    assert failure(bad, song("is-huge")) == (FailureKind.CRASH, reason)
    assert decode(bad.read_blocks, song("good")).size == 10 * SR


def test_a_process_that_a_former_file_has_harmed_costs_no_other_file(bad, song):
    assert decode(bad.read_blocks, song("good")).size == 10 * SR
    path = song("dies-in-a-used-process")
    np.testing.assert_array_equal(decode(bad.read_blocks, path), decode(read_blocks, path))


def test_a_file_that_is_being_read_may_take_its_time(bad, song):
    assert N_STEPS * STEP_SECONDS > PATIENCE
    assert decode(bad.read_blocks, song("is-slow")).size == 10 * SR


def test_what_a_decoder_prints_goes_nowhere(bad, song, capfd):
    assert decode(bad.read_blocks, song("prints")).size == 10 * SR
    assert capfd.readouterr() == ("", "")


def test_a_thread_that_takes_its_time_with_the_samples_is_no_reason_to_end_the_process(song):
    process = Process("mtag.audio.worker")
    try:
        from mtag.audio.wire import Job, Task

        path = song("song")
        answers = process.run(Task.of(Job.BLOCKS, path), path)
        next(answers)
        process.lose_patience(1e6, PATIENCE)
        assert sum(len(content) for content in answers) > 0
        assert process.is_free
    finally:
        process.end()


def test_a_run_goes_on_past_every_bad_file(song, monkeypatch):
    class Listener:
        batch_size = 1
        tags = TAGS

        def scores(self, log_mels, windows):
            return np.tile(scores_of({}), (len(windows), 1))

    monkeypatch.setattr("mtag.audio.decoders.WORKER", "tests.misbehaving")
    monkeypatch.setattr("mtag.audio.decoders.PATIENCE_SECONDS", PATIENCE)
    names = ["good 1", "dies-at-once", "good 2", "hangs", "dies-later", "good 3", "aborts", "good 4"]
    with Ears(Listener, jobs=2) as ears:
        outcomes = list(hear(map(song, names), ears))
    assert [path.stem for path, _ in outcomes] == names
    for path, outcome in outcomes:
        if path.stem.startswith("good"):
            assert outcome.duration == pytest.approx(10)
        else:
            assert outcome.kind is FailureKind.CRASH


# Where processes come from and go to


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a pipe be widened")
def test_a_pipe_that_may_not_be_widened_is_as_good(song, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    with Decoders(ahead=1 << 20) as decoders:
        assert decode(decoders.read_blocks, song("song")).size == 10 * SR


def test_processes_start_without_waiting_for_numpy():
    code = """
import sys
from mtag.audio.decoders import Decoders
with Decoders() as decoders:
    decoders.prepare(2)
    print(len(decoders.processes), "numpy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "2 False\n"


def test_no_process_is_left_behind(song):
    with Decoders() as decoders:
        path = song("song")
        assert next(islice(decoders.read_blocks(path), 1)).size  # left in the middle
        assert decode(decoders.read_blocks, path).size == 10 * SR
        pids = [process.pid for process in decoders.processes]
    assert pids
    assert not any(map(is_alive, pids))


def test_a_process_in_the_middle_of_its_task_ends_with_its_owner(song):
    code = """
import sys, pathlib, threading
from mtag.audio.decoders import Decoders
decoders = Decoders("tests.misbehaving")
decoders.prepare()
threading.Thread(target=lambda: list(decoders.read_blocks(pathlib.Path(sys.argv[1]))), daemon=True).start()
(process,) = decoders.processes
while process.is_free: pass
print(process.pid, flush=True)
threading.Event().wait()
"""
    command = [sys.executable, "-c", code, song("hangs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.kill()
    deadline = time.monotonic() + 60
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_a_child_of_a_fork_starts_processes_of_its_own(song):
    code = """
import os, pathlib, sys
from mtag.audio.decoders import Decoders
def hear():
    n_samples = sum(block.size for block in decoders.read_blocks(pathlib.Path(sys.argv[1])))
    return n_samples, {process.pid for process in decoders.processes}
with Decoders() as decoders:
    before = hear()
    child = os.fork()
    if not child:
        n_samples, pids = hear()
        decoders.close()
        os._exit(0 if n_samples == before[0] and not pids & before[1] else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert hear() == before
sys.exit(code)
"""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code, song("song")]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)


def test_the_terminals_interrupt_does_not_reach_the_processes(decoders, song):
    assert decode(decoders.read_blocks, song("song")).size
    for process in decoders.processes:
        assert os.getpgid(process.pid) != os.getpgid(0)


def test_an_interrupt_of_the_whole_job_does_not_end_what_is_being_decoded(song):
    code = """
import sys, pathlib, signal
from mtag.audio.decoders import Decoders
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
with Decoders() as decoders:
    blocks = decoders.read_blocks(pathlib.Path(sys.argv[1]))
    n = next(blocks).size
    print("begun", flush=True)
    sys.stdin.readline()
    print(n + sum(block.size for block in blocks))
"""
    command = [sys.executable, "-c", code, song("song")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=ROOT, start_new_session=True) as owner:
        assert owner.stdout.readline() == "begun\n"
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does
        assert owner.stdout.readline() == "interrupted\n"
        rest, _ = owner.communicate("\n")
    assert int(rest) == 10 * SR


@pytest.mark.skipif(sys.platform == "win32", reason="signals are something else on Windows")
def test_a_service_manager_that_asks_all_processes_to_end_costs_no_file(song):
    path = song("song.flac")
    with Decoders() as decoders:
        digest = decoders.packet_digest(path)
        (process,) = decoders.processes
        os.kill(process.pid, signal.SIGTERM)
        assert decoders.packet_digest(path) == digest
        assert decoders.processes == (process,)


def test_a_process_that_cannot_be_started_is_no_fault_of_the_file(song):
    reason = "can be started: .*: ModuleNotFoundError: No module named 'tests.no_such_module'"
    with Decoders("tests.no_such_module") as decoders, pytest.raises(DecoderError, match=reason):
        list(decoders.read_blocks(song("song")))


@pytest.mark.parametrize(("name", "value"), [("executable", None), ("executable", ""), ("frozen", True)])
def test_a_program_that_python_is_built_into_is_not_started_again(song, monkeypatch, name, value):
    monkeypatch.setattr(sys, name, value, raising=False)
    with Decoders() as decoders, pytest.raises(DecoderError, match="no Python of its own"):
        list(decoders.read_blocks(song("song")))


def test_a_system_that_starts_no_process_is_no_fault_of_the_file(song, monkeypatch):
    def refuse(*arguments, **options):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("mtag.audio.process.subprocess.Popen", refuse)
    with Decoders() as decoders, pytest.raises(DecoderError, match="can be started"):
        list(decoders.read_blocks(song("song")))


def test_closing_ends_what_another_thread_waits_for(song):
    with ThreadPoolExecutor(1) as pool, Decoders("tests.misbehaving") as decoders:
        decoders.prepare()
        (process,) = decoders.processes
        waiting = pool.submit(lambda: list(decoders.read_blocks(song("hangs"))))
        while process.is_free:
            time.sleep(0.01)
        decoders.close()
        assert isinstance(waiting.exception(60), (FileError, DecoderError))
        assert not is_alive(process.pid)


def test_processes_are_renewed_now_and_then(song, monkeypatch):
    monkeypatch.setattr("mtag.audio.decoders.TASKS_A_PROCESS", 2)
    path = song("song")
    with Decoders() as decoders:
        pids = set()
        for _ in range(4):
            decoders.prepare()
            pids |= {process.pid for process in decoders.processes}
            assert decode(decoders.read_blocks, path).size == 10 * SR
    assert len(pids) == 2


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for is dead too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

"""What a training run says where nobody watches it."""

import io
import threading

import pytest
from rich.console import Console

from mtag.cli import train


@pytest.fixture
def written():
    return io.StringIO()


def lines(written):
    return [line.split(" ", 1)[1] for line in written.getvalue().splitlines()]


def test_a_log_has_a_line_a_minute_and_one_at_a_stages_end(written, monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with train._reports(Console(file=written), threading.Event()) as reports:
        for now in range(151):
            reports.labelling(now, 150)
        reports.labelling(now, 150)  # told twice, said once
        for now in range(152, 154):  # another round of the same
            reports.labelling(now - 3, 150)
    counted = [60, 120, 150, 150]
    assert lines(written) == [f"labelling {done} of 150" for done in counted]


def test_an_interrupt_ends_the_next_step(written):
    stop = threading.Event()
    with train._reports(Console(file=written), stop) as reports:
        reports.windows(1, 2)
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            reports.windows(2, 2)
    assert lines(written) == ["decoding 2 of 2"]

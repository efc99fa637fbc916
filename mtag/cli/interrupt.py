"""Ctrl-C, a service's stop, a closed terminal: the first asks for a good end, the second for an immediate one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

ASKING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first signal to end sets; the second is a `KeyboardInterrupt` as usual."""
    stop = threading.Event()

    def ask(signum: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # signals arrive nowhere else
            for signum in ASKING:
                # Under nohup SIGHUP stays ignored. Shells also ignore SIGINT for background jobs, but whoever sends
                # it by hand means it.
                if signum == signal.SIGINT or signal.getsignal(signum) is not signal.SIG_IGN:
                    stack.callback(signal.signal, signum, signal.signal(signum, ask))
        yield stop

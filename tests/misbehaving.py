"""A decoder's process that does what a file's name says: the crashes and hangs that real files only seldom bring."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from mtag.audio import worker
from mtag.audio.decode import read_blocks

STEP_SECONDS = 0.25  # between signs of life of a file that is slow
N_STEPS = 16

n_served = 0


def decode(path, progressed):
    global n_served
    n_served += 1
    if "dies-in-a-used-process" in path.name and n_served > 1:
        yield from list(read_blocks(path))[:1]
        die()
    if "dies-at-once" in path.name:
        die()
    if "dies-later" in path.name:
        yield from list(read_blocks(path))[:2]
        die()
    if "aborts" in path.name:
        os.abort()
    if "exits" in path.name:
        os._exit(3)
    if "hangs" in path.name:
        signal.pause()
    if "is-slow" in path.name:
        for _ in range(N_STEPS):
            time.sleep(STEP_SECONDS)
            progressed()
    if "is-huge" in path.name:
        yield np.ones(1 << 29, np.float32)
    if "stumbles" in path.name:
        raise ZeroDivisionError("something odd")
    if "prints" in path.name:
        os.write(1, b"a library's chatter\n" * 100)
        os.write(2, b"and its warnings\n")
    yield from read_blocks(path)


def die():
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def main():
    worker.ALIVE_SECONDS = 0
    worker.main(decode)

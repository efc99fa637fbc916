"""How long and how fast each member learns, in numbers that go into the training record."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from mtag.training.pool import N_PIECES


@dataclass(frozen=True)
class Cycle:
    """One sweep of the learning rate: up to its peak, then half a cosine down to zero."""

    n_windows: int  # windows seen, repetitions counted
    peak_rate: float


@dataclass(frozen=True)
class Recipe:
    """One member's schedule: AdamW, cosine cycles with warm-up, binary cross-entropy on soft labels."""

    name: str
    cycles: tuple[Cycle, ...]
    batch_size: int
    warm_up: float = 0.05  # share of each cycle's steps
    weight_decay: float = 1e-4
    clip_norm: float = 1.0  # largest norm of the gradient
    output_bias: float = -2.5  # logit of the typical label
    average: float = 0.998  # decay of the averaged weights, a step: they are what validation hears and what is exported
    tied: bool = True  # the last layer weighs all moments of a window alike
    crop_pieces: int = N_PIECES  # Model 3 learns on a few pieces of a window ...
    full_share: float = 1.0  # ... and on full windows in this last share of each cycle's steps

    @property
    def n_steps(self) -> int:
        """Optimizer steps in all."""
        return sum(self.steps_of(cycle) for cycle in self.cycles)

    def steps_of(self, cycle: Cycle) -> int:
        """Optimizer steps of one cycle."""
        return max(1, cycle.n_windows // self.batch_size)

    def place(self, step: int) -> tuple[Cycle, int]:
        """The cycle that a step belongs to, and the step's number in it; steps past the end belong to the last."""
        for cycle in self.cycles[:-1]:
            if step < self.steps_of(cycle):
                return cycle, step
            step -= self.steps_of(cycle)
        return self.cycles[-1], step

    def learning_rate(self, step: int) -> float:
        """Linear warm-up to the cycle's peak, then half a cosine down to zero at the cycle's end."""
        cycle, step = self.place(step)
        n_steps = self.steps_of(cycle)
        n_warm_up = max(1, round(self.warm_up * n_steps))
        if step < n_warm_up:
            return cycle.peak_rate * (step + 1) / n_warm_up
        done = (step - n_warm_up) / max(1, n_steps - n_warm_up)
        return cycle.peak_rate * 0.5 * (1 + math.cos(math.pi * done))

    def pieces(self, step: int) -> int:
        """Pieces of each window that a step hears: a few first, whole windows at a cycle's end."""
        cycle, step = self.place(step)
        full = step >= self.steps_of(cycle) * (1 - self.full_share)
        return N_PIECES if full else self.crop_pieces

    def remaining_pieces(self, step: int) -> int:
        """Pieces that the steps from this one on hear in one window each: what is left to do."""
        return self._remaining_pieces[step]

    @cached_property
    def _remaining_pieces(self) -> tuple[int, ...]:
        """The same of every step: it is asked for three times a step, and adding up anew took 4 ms each time."""
        backwards = accumulate((self.pieces(step) for step in reversed(range(self.n_steps))), initial=0)
        return tuple(backwards)[::-1]


N_VERSIONS = 12  # of each training window that the teacher hears, the unchanged one among them

GOING_ON = 0.5  # share of the peak rates for networks that begin as an earlier bundle's

# Rates are measured ones; lengths are what an H200 gets through in 59, 133 and 105 seconds.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("model1", (Cycle(1_024_000, 1e-3),), batch_size=32),
        Recipe("model2", (Cycle(320_000, 1e-3),), batch_size=16),
        Recipe("model3", (Cycle(256_000, 1e-3),), batch_size=16, tied=False, crop_pieces=3, full_share=0.05),
    )
}

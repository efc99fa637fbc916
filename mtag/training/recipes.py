"""How long and how fast each member learns, in numbers that go into the training record."""

from dataclasses import dataclass

from mtag.constants import WINDOW_SAMPLES


@dataclass(frozen=True)
class Recipe:
    """One member's schedule: AdamW, warm-up, cosine to zero, binary cross-entropy on soft labels."""

    name: str
    n_windows: int  # windows seen in all, repetitions counted
    batch_size: int
    peak_rate: float  # learning rate after the warm-up
    warm_up: float = 0.05  # share of the steps
    weight_decay: float = 1e-4
    clip_norm: float = 1.0  # largest norm of the gradient
    output_bias: float = -2.5  # logit of the typical label
    crop_samples: int = WINDOW_SAMPLES  # Model 3 learns on crops, labelled as their window is ...
    full_share: float = 1.0  # ... and on full windows in this last share of its steps

    @property
    def n_steps(self) -> int:
        """Optimizer steps in all."""
        return self.n_windows // self.batch_size


# Rates are measured ones: Model 1 diverges from 1e-3. Lengths fit an evening on two CPU cores.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("model1", n_windows=40_000, batch_size=16, peak_rate=1e-4),
        Recipe("model2", n_windows=12_000, batch_size=8, peak_rate=1e-3),
        Recipe("model3", n_windows=26_000, batch_size=16, peak_rate=1e-3, crop_samples=116_400, full_share=0.06),
    )
}

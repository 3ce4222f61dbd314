"""What a training run is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingSettings:
    """Same settings and device, same run; only how many steps fit into the time differs."""

    seed: int = 0
    seconds: float = 540.0  # of this run
    total_seconds: float = 0.0  # of all runs that go on from one another, 0: of this; the learning rate falls meanwhile
    rings: int = 32  # a step
    fresh: int = 64  # samples made at a time
    first_batches: int = 128  # of samples, before the first step; they are made while the network is compiled
    steps_per_fresh: int = 16  # steps between two times: each sample is learned from rings * steps / fresh times
    pool: int = 8192  # samples kept; 1.6 MB each
    per_family: int = 48  # shapes of a family in the bank; one family is renewed each time samples are made
    learning_rate: float = 8e-4
    warmup_steps: int = 150
    weight_decay: float = 0.01
    ema: float = 0.997
    shift: float = 3.0  # of noise levels towards noise: views repeat each other, so that much noise hides little
    pure_share: float = 0.75  # of noise alone: what is told then is the mean of all that it could be
    color_weight: float = 0.05  # against how surely each cell is told to be inside or outside
    colored_pixels: int = 2048  # of a ring, whose colours are learned from in one step
    checkpoint_seconds: float = 60.0
    measure_seconds: float = 150.0
    channels: tuple[int, ...] = (64, 128, 192)
    blocks: int = 2
    cells: int = 64  # of the volume, along each axis
    compiled: bool = True

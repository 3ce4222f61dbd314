"""`python -m instascene_ros.tools.prior_training`: train a completion prior of our own."""

from pathlib import Path
from typing import Annotated

import typer

from instascene_ros.tools.prior_training.settings import TrainingSettings
from instascene_ros.tools.prior_training.training import Training

DEFAULT = TrainingSettings()


def main(
    out: Annotated[Path, typer.Option(help="Folder for weights, log and curve.")],
    resume: Annotated[Path | None, typer.Option(help="Earlier run, or model folder, to go on from.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to train.")] = DEFAULT.seconds,
    total_seconds: Annotated[float, typer.Option(help="With runs that go on.")] = DEFAULT.total_seconds,
    seed: Annotated[int, typer.Option(help="Another one for every run that goes on.")] = DEFAULT.seed,
    rings: Annotated[int, typer.Option(help="Rings a step.")] = DEFAULT.rings,
    learning_rate: Annotated[float, typer.Option(help="At its height.")] = DEFAULT.learning_rate,
    compiled: Annotated[bool, typer.Option(help="torch.compile the network.")] = DEFAULT.compiled,
) -> None:
    """Train on a GPU where there is one; weights, log and curve are renewed every minute."""
    settings = TrainingSettings(
        seed=seed, seconds=seconds, total_seconds=total_seconds, rings=rings, learning_rate=learning_rate,
        compiled=compiled,
    )
    Training(settings, out, resume).run(lambda words: print(words, flush=True))


if __name__ == "__main__":
    typer.run(main)

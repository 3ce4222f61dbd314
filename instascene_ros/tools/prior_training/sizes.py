"""Networks of several sizes learn from the same samples: `python -m instascene_ros.tools.prior_training.sizes`.

Started by torchrun, each GPU takes some of them; all take the same steps.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from instascene_ros.tools.prior_training.learner import Learner, checks_on
from instascene_ros.tools.prior_training.ranks import Ranks
from instascene_ros.tools.prior_training.settings import TrainingSettings
from instascene_ros.tools.prior_training.supply import Supply

SIZES = {
    "64, 128, 192": {},
    "48, 96, 144": {"channels": (48, 96, 144)},
    "64, 128, 192 of 32 cells": {"cells": 32},
    "32, 64, 96": {"channels": (32, 64, 96)},
}


def main(
    out: Annotated[Path, typer.Option(help="Folder for one file of figures a size.")],
    seconds: Annotated[float, typer.Option(help="How long to train.")] = 540.0,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train each from nothing on the same samples; tell how well each completes what it never saw."""
    settings, ranks = TrainingSettings(seed=seed, seconds=seconds), Ranks.joined()
    learners, spent_s = {}, {}
    for name in list(SIZES)[ranks.rank :: ranks.count]:
        torch.manual_seed(seed)
        learners[name], spent_s[name] = Learner(replace(settings, **SIZES[name]), ranks.device), 0.0
    supply, began, steps = Supply(settings, seed, ranks.device), time.monotonic(), 0
    supply.fill()
    while (gone := ranks.seconds(time.monotonic() - began)) < seconds:
        if steps % settings.steps_per_fresh == 0:
            supply.renew()
        samples = supply.draw()
        for name, learner in learners.items():
            start = time.monotonic()
            loss = float(learner.learn(samples, gone / seconds))
            spent_s[name] += time.monotonic() - start
            if steps % 100 == 0:
                print(f"{gone:.0f} s, {steps * settings.rings} rings, {name}: loss {loss:.3f}", flush=True)
        steps += 1
    checks = checks_on(ranks.device)
    out.mkdir(parents=True, exist_ok=True)
    for name, learner in learners.items():
        row = {"size": name, "parameters": learner.num_parameters,
               "rings": steps * settings.rings, "ms a step": 1000 * spent_s[name] / max(steps, 1)}  # fmt: skip
        row |= learner.measure(checks)
        print(row, flush=True)
        (out / f"{name.replace(', ', '_').replace(' ', '_')}.json").write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

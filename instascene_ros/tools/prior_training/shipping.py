"""Training runs made into a model folder: `python -m instascene_ros.tools.prior_training.shipping MODEL RUN ...`."""

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from instascene_ros.core.views import CLOSING, Rig
from instascene_ros.models.diffusers_prior import write_ring_index
from instascene_ros.models.ring_volume import RingVolume, RingVolumeConfig
from instascene_ros.tools.prior_training.cameras import RING
from instascene_ros.tools.prior_training.checkpoints import read_weights
from instascene_ros.tools.prior_training.training import AVERAGED

STEPS, START_NOISE, INSIDE_FROM = 1, 0.9, 0.27


def main(
    model: Annotated[Path, typer.Argument(help="Model folder to write, in diffusers' format.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders of training runs that went on from one another.")],
    steps: Annotated[int, typer.Option(help="Denoising steps that it asks for.")] = STEPS,
) -> None:
    """Write the averaged weights in half precision, of several runs their mean, the schedule and the rig."""
    told = json.loads((runs[-1] / "log.json").read_text())[0]
    cells = told.get("cells", RingVolumeConfig.cells)
    sizes = {"channels": tuple(told["channels"]), "blocks": told["blocks"], "cells": cells}
    network = RingVolume(RingVolumeConfig(**sizes, inside_from=INSIDE_FROM, mirrored=True, closing=CLOSING))
    network.load_state_dict(_mean([read_weights(run, AVERAGED) for run in runs]))
    network.save_pretrained(model / "denoiser")
    rig = Rig.rings(((RING.elevation_deg, RING.views), *CLOSING), RING.size_px)
    write_ring_index(model, "RingVolume", "FlowMatchEulerDiscreteScheduler", rig, steps, START_NOISE)
    schedule = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000}
    (model / "scheduler").mkdir(exist_ok=True)
    (model / "scheduler/scheduler_config.json").write_text(json.dumps(schedule, indent=2) + "\n")


def _mean(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What runs that started from the same weights know together (Wortsman et al., "Model soups", ICML 2022)."""
    return {name: torch.stack([each[name].float() for each in weights]).mean(0) for name in weights[0]}


if __name__ == "__main__":
    typer.run(main)

"""Shapes, rays, samples and checkpoints of the training of the completion prior, against known answers."""

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from instascene_ros.models.ring_geometry import RingShape
from instascene_ros.models.ring_rendering import images_of_volume
from instascene_ros.models.ring_volume import RingVolume, RingVolumeConfig
from instascene_ros.tools.prior_training import fields, shipping
from instascene_ros.tools.prior_training.bank import ShapeBank
from instascene_ros.tools.prior_training.checkpoints import read_weights, save_weights
from instascene_ros.tools.prior_training.draws import Draw
from instascene_ros.tools.prior_training.families import FAMILIES, HELD_OUT
from instascene_ros.tools.prior_training.knowing import spheres_of
from instascene_ros.tools.prior_training.learner import Learner
from instascene_ros.tools.prior_training.neighbours import Neighbours
from instascene_ros.tools.prior_training.pool import mirror
from instascene_ros.tools.prior_training.ranks import Ranks
from instascene_ros.tools.prior_training.samples import at_rest, drawn
from instascene_ros.tools.prior_training.settings import TrainingSettings
from instascene_ros.tools.prior_training.tracing import Placed, cast

ONE = torch.ones(1)


def at(*points: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor([points])


def test_distances_of_simple_solids() -> None:
    half = torch.tensor([[0.1, 0.2, 0.3]])
    torch.testing.assert_close(fields.box(at((0.2, 0, 0), (0, 0, 0)), half, 0 * ONE)[0], torch.tensor([0.1, -0.1]))
    torch.testing.assert_close(fields.ball(at((0.5, 0, 0)), 0.2 * ONE)[0], torch.tensor([0.3]))
    square = torch.tensor([[[0.0, -0.1], [0.2, -0.1], [0.2, 0.1], [0.0, 0.1]]])  # a can of radius 0.2
    told = fields.revolved(at((0.3, 0, 0), (0, 0, 0), (0, 0.1, 0.15)), square)[0]
    torch.testing.assert_close(told, torch.tensor([0.1, -0.1, 0.05]))


def bank_of_a_ball(radius_m: float) -> ShapeBank:
    return ShapeBank((lambda d: lambda p: fields.ball(p, d.within(radius_m, radius_m)),), per_family=1)


def test_a_ray_meets_a_ball_where_it_should_and_misses_beside_it() -> None:
    placed = Placed(bank_of_a_ball(0.05), torch.tensor([0]), torch.eye(3)[None], torch.zeros(1, 3))
    origins = torch.tensor([[[0.5, 0, 0], [0.5, 0.04, 0], [0.5, 0.06, 0]]])
    found = cast(placed, origins, torch.tensor([-1.0, 0, 0]).expand(1, 3, 3))[0]
    torch.testing.assert_close(found[:2], torch.tensor([0.45, 0.5 - 0.03]), atol=3e-4, rtol=0)
    assert math.isinf(found[2])


@pytest.mark.parametrize("family", dict.fromkeys([*FAMILIES, *HELD_OUT]), ids=lambda family: family.__name__)
def test_every_family_is_solid_and_within_reach(family: object) -> None:
    field = family(Draw(3, torch.Generator().manual_seed(1)))
    inside = field(torch.rand(1, 20_000, 3, generator=torch.Generator().manual_seed(2)).mul(0.34).sub(0.17)
                   .expand(3, -1, -1)) < 0  # fmt: skip
    assert (inside.float().mean(1) > 1e-5).all()
    corners = torch.tensor([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.2, 0.2)])
    assert (field(corners.expand(3, -1, -1)) > 0).all()


def test_what_is_known_of_a_sample_is_nearly_always_true() -> None:
    samples = drawn(ShapeBank(FAMILIES[:2], 1, seed=3), 3, size_px=32)
    known, there = samples.known[:, :, 0], samples.clean[:, :, 4] > 0
    told = samples.content[:, :, 4] > 0
    assert len(samples) and known.any() and not known.all()
    assert there[known & told].float().mean() > 0.98
    assert (~there)[known & ~told].float().mean() > 0.99
    assert samples.clean.abs().max() <= 1


def test_a_mirrored_ring_keeps_its_front_and_comes_back() -> None:
    ring = torch.randn(2, 16, 5, 8, 8)
    torch.testing.assert_close(mirror(ring)[:, 0], ring[:, 0].flip(-1))
    torch.testing.assert_close(mirror(mirror(ring)), ring)


def test_what_fills_the_volume_is_what_the_ring_shows() -> None:
    samples = drawn(ShapeBank(FAMILIES[:2], 1, seed=3), 3)
    logits = samples.inside.float() / 255 - 0.5
    volume = torch.cat([logits[:, None], torch.zeros(len(samples), 3, *logits.shape[1:])], 1)
    drawn_again = images_of_volume(volume, RingShape(), list(range(16)))
    there, told = samples.clean[:, :, 4] > 0, drawn_again[:, :, 4] > 0
    assert (there & told).sum() > 0.92 * (there | told).sum()
    off = (samples.clean[:, :, 3] - drawn_again[:, :, 3]).abs()[there & told]
    assert off.mean() < 0.01
    mirrored = images_of_volume(volume.flip(3), RingShape(), list(range(16)))
    torch.testing.assert_close(mirrored, mirror(drawn_again), atol=1e-3, rtol=0)


def test_neighbours_hide_the_object_and_never_cut_into_it() -> None:
    bank = ShapeBank(FAMILIES[:3], 4, seed=5)
    placed, raised = at_rest(bank, bank.draw(12))
    around = Neighbours.drawn(placed, raised | True, bank.generator)
    there = around.center_m[..., 2] > 0
    assert 20 < there.sum() < there.numel()
    surface = placed.world(bank.surface_m[placed.rows])
    for n in range(there.shape[1]):
        local = (surface - around.center_m[:, n, None]).abs()
        radius = torch.minimum(around.half_m[:, n, 0], around.half_m[:, n, 1])[:, None]
        inside = (local[..., :2].norm(dim=-1) < radius) & (local[..., 2] < around.half_m[:, n, None, 2])
        assert not inside[there[:, n]].any()


def test_a_neighbour_is_met_where_it_stands() -> None:
    half = torch.tensor([[[0.1, 0.2, 0.3]]] * 2)
    around = Neighbours(torch.zeros(2, 1, 3), half, torch.zeros(2, 1), torch.tensor([[False], [True]]))
    eyes = torch.tensor([[[1.0, 0, 0], [1.0, 0.19, 0], [1.0, 0.25, 0]]]).expand(2, -1, -1)
    met = around.cast(eyes, torch.tensor([-1.0, 0, 0]).expand(2, 3, 3))
    bulge = 0.1 * math.sqrt(1 - 0.95**2)
    expected = torch.tensor([[0.9, 0.9, math.inf], [0.9, 1 - bulge, math.inf]])
    torch.testing.assert_close(met, expected)


def test_a_prism_is_as_wide_as_its_outline_and_as_high_as_it_is_told() -> None:
    square = torch.tensor([[[-0.1, -0.1], [0.1, -0.1], [0.1, 0.1], [-0.1, 0.1]]])
    told = fields.prism(at((0.15, 0, 0), (0, 0, 0.25), (0, 0, 0), (0.13, 0, 0.24)), square, 0.2 * ONE)[0]
    torch.testing.assert_close(told, torch.tensor([0.05, 0.05, -0.1, 0.05]))


def test_a_run_can_go_on_from_its_weights(tmp_path: Path) -> None:
    config = RingVolumeConfig(size_px=16, cells=16, channels=(16, 16), blocks=1, image_channels=16)
    one, other = RingVolume(config), RingVolume(config)
    save_weights(one, tmp_path, "raw")
    other.load_state_dict(read_weights(tmp_path, "raw"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    with pytest.raises(FileNotFoundError, match="no averaged_0"):
        read_weights(tmp_path, "averaged")


def test_several_runs_are_shipped_as_the_mean_of_their_weights(tmp_path: Path) -> None:
    sizes, runs = {"channels": (16, 16), "blocks": 1, "cells": 16}, [tmp_path / "one", tmp_path / "two"]
    networks = [RingVolume(RingVolumeConfig(**sizes)) for _ in runs]
    for run, network in zip(runs, networks, strict=True):
        save_weights(network, run, "averaged")
        (run / "log.json").write_text(json.dumps([sizes]))
    shipping.main(tmp_path / "model", runs)
    shipped = RingVolume.from_pretrained(tmp_path / "model/denoiser")
    for mean, a, b in zip(*(network.parameters() for network in (shipped, *networks)), strict=True):
        torch.testing.assert_close(mean, (a + b) / 2, atol=1e-3, rtol=2e-3)


def test_the_sphere_around_an_object_does_not_tell_how_large_it_is() -> None:
    count, generator = 2000, torch.Generator().manual_seed(5)
    ball = 0.05 * torch.nn.functional.normalize(torch.randn(1, 800, 3, generator=generator), dim=-1)
    ball = ball.expand(count, -1, -1)
    front = ball[..., 0] > 0  # what was seen
    spheres = spheres_of(ball, front, ball, generator)
    filled = (ball - spheres.center_m[:, None]).norm(dim=-1).amax(1) / spheres.radius_m
    low, middle, high = torch.quantile(filled, torch.tensor([0.05, 0.5, 0.95])).tolist()
    assert spheres.found.all()
    assert 0.7 < middle < 0.9  # what `GROWTH` and the margin leave of a guess that is right
    assert low < 0.65 and high > 1.0  # guesses that are too large, and some too small to hold the object


@pytest.mark.parametrize("cells", [64, 32])
def test_a_learner_grows_surer_of_what_it_is_shown(cells: int) -> None:
    settings = TrainingSettings(channels=(16, 16, 16), blocks=1, cells=cells, warmup_steps=1, pure_share=1.0)
    samples = drawn(ShapeBank(FAMILIES[:1], 1, seed=3), 1)
    torch.manual_seed(0)
    learner = Learner(settings, torch.device("cpu"))
    losses = [float(learner.learn(samples, share=0.0)) for _ in range(4)]
    assert losses[-1] < 0.9 * losses[0] and learner.steps == 4
    again = Learner(settings, torch.device("cpu"), learner.averaged.state_dict())
    for one, other in zip(again.network.parameters(), learner.averaged.parameters(), strict=True):
        torch.testing.assert_close(one, other)


RANKS = """
import sys, torch
from instascene_ros.tools.prior_training.ranks import Ranks
ranks = Ranks.joined()
one, other, unused = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (1,)))
one.grad, other.grad = torch.full((2, 3), 1.0 + ranks.rank), torch.arange(4.0) * ranks.rank
ranks.average_gradients([one, other, unused])
print(ranks.first, ranks.count, ranks.seconds(10.0 + ranks.rank), one.grad.mean().item(), other.grad.tolist())
"""


def test_processes_that_learn_together_go_on_with_the_mean_gradient_and_one_clock() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    joined = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", RANKS]
    processes = [
        subprocess.Popen(command, env=joined | {"RANK": rank}, stdout=subprocess.PIPE, text=True) for rank in ("0", "1")
    ]
    told = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert told == [f"{first} 2 10.0 1.5 [0.0, 0.5, 1.0, 1.5]" for first in (True, False)]


def test_a_process_alone_keeps_its_gradients_and_its_clock() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([1.0, 2.0])
    alone = Ranks.joined()
    alone.average_gradients([weight])
    assert alone.first and alone.seconds(3.5) == 3.5 and weight.grad.tolist() == [1.0, 2.0]

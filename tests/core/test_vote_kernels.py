"""Votes, masks and sums as compiled for a CPU and for a GPU, against plain torch."""

import numpy as np
import pytest
import torch
from rendering_cases import backend
from torch import Tensor

from instascene_ros.core.config import TrackingConfig
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import z_axis_from_quats
from instascene_ros.core.instance_sums import surface_sums
from instascene_ros.core.masks import Masks
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.segments import MaskTrace, Overlap
from instascene_ros.core.votes import (
    FAINT,
    cast,
    choices,
    segment_sizes,
    spread,
    strike,
    winning_labels,
    winning_segments,
)

NUM, SEGMENTS = 3000, 9


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda":
        backend("gsplat")
    return request.param


def voters(seed: int) -> GaussianMap:
    """Surfels all over a cube of 10 cm, with votes for some segments, some of them faint; many have none."""
    random = torch.Generator().manual_seed(seed)
    means_m, quats = torch.rand(NUM, 3, generator=random) * 0.1, torch.randn(NUM, 4, generator=random)
    scales_m = torch.rand(NUM, 2, generator=random) * 0.01 + 0.001
    gaussians = GaussianMap.from_surfels(means_m, quats, scales_m, torch.full((NUM,), 0.9), torch.zeros(NUM, 3))
    ids = torch.stack([torch.randperm(SEGMENTS - 1, generator=random)[:4] + 1 for _ in range(NUM)])
    weights = torch.randint(1, 9, (NUM, 4), generator=random) / 8  # sums are exact
    weights[torch.rand(NUM, 4, generator=random) < 0.2] = FAINT
    free = torch.rand(NUM, 4, generator=random) < 0.6
    gaussians.vote_ids = torch.where(free, 0, ids).int()
    gaussians.vote_weights = torch.where(free, 0.0, weights)
    return gaussians


def some(high: int, *shape: int, seed: int = 1) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def best_votes(gaussians: GaussianMap) -> tuple[Tensor, Tensor]:
    weights, slot = gaussians.vote_weights.max(dim=1, keepdim=True)
    return gaussians.vote_ids.gather(1, slot)[:, 0].long(), weights[:, 0]


def same_votes(found: GaussianMap, expected: GaussianMap) -> None:
    assert torch.equal(found.vote_ids.cpu(), expected.vote_ids)
    torch.testing.assert_close(found.vote_weights.cpu(), expected.vote_weights)


@pytest.mark.parametrize("least", [0.0, FAINT])
def test_winners_and_sizes(device: str, least: float) -> None:
    gaussians, rows = voters(0), some(NUM, 500).unique()
    segments, weights = best_votes(gaussians)
    found, votes = winning_segments(gaussians.to(device), rows.to(device), least)
    assert torch.equal(found.cpu(), torch.where(weights > least, segments, 0)[rows])
    assert torch.equal(votes.cpu(), weights[rows])
    sizes = segment_sizes(gaussians.to(device), SEGMENTS)
    assert torch.equal(sizes.cpu().long(), torch.bincount(segments, minlength=SEGMENTS))


def test_labels_of_segments_that_count_together(device: str) -> None:
    gaussians, label_of = voters(0), torch.tensor([0, 1, 1, 2, 2, 0, 3, 3, 3])
    sums = torch.zeros(NUM, 4).scatter_add_(1, label_of[gaussians.vote_ids.long()], gaussians.vote_weights)
    found = winning_labels(gaussians.to(device), label_of.to(device)).cpu()
    sums[:, 0] = 0
    assert torch.equal(sums.gather(1, found[:, None])[:, 0], sums.amax(dim=1))  # of equals, either
    assert torch.equal(found > 0, sums.amax(dim=1) > 0)


def test_votes_of_both_masks_in_turn(device: str) -> None:
    gaussians, rows = voters(0), some(NUM, 700).unique()
    columns, masks = some(5, len(rows)), some(4, len(rows), 2, seed=2)
    home, target, added = torch.tensor([-1, 2, 2, 3, -1]), torch.tensor([0, 3, 0, 7]), some(9, len(rows), 2) / 8
    winners = best_votes(gaussians)[0][rows]
    expected = torch.where(home[columns][:, None] == masks, winners[:, None], target[masks])
    tensors = (t.to(device) for t in (winners, columns, masks, home, target))
    chosen = choices(*tensors)
    assert torch.equal(chosen.cpu(), expected)
    on_device = gaussians.copied().to(device)
    cast(on_device, rows.to(device), chosen, added.to(device))
    for each in range(2):
        _cast_slowly(gaussians, rows.tolist(), expected[:, each].tolist(), added[:, each].tolist())
    same_votes(on_device, gaussians)


def _cast_slowly(gaussians: GaussianMap, rows: list[int], segments: list[int], weights: list[float]) -> None:
    for row, segment, weight in zip(rows, segments, weights, strict=True):
        ids, sums = gaussians.vote_ids[row], gaussians.vote_weights[row]
        if segment == 0 or weight == 0:
            continue
        if segment in ids:
            sums[ids.tolist().index(segment)] += weight
        elif sums.min() <= weight:
            slot = int(sums.argmin())
            ids[slot], sums[slot] = segment, weight


@pytest.mark.parametrize("bent_share", [0.1, 0.95])
def test_strikes_off_planes(device: str, bent_share: float) -> None:
    gaussians = voters(0)
    planes = torch.tensor([[0, 0, 1.0, 0.05, 0.01], [1.0, 0, 0, 0.05, 0.03]])
    plane_of = torch.tensor([-1, 0, 0, 1, 1, -1, 0, -1, 1])
    off = (gaussians.means_m @ planes[:, :3].T - planes[:, 3]).abs() > planes[:, 4]
    segments, _ = best_votes(gaussians)
    expected = gaussians.copied()
    for segment in range(SEGMENTS):
        mine, plane = segments == segment, int(plane_of[segment])
        if plane >= 0 and off[mine, plane].float().mean() <= bent_share:
            void = (gaussians.vote_ids == segment) & off[:, plane, None]
            expected.vote_ids[void], expected.vote_weights[void] = 0, 0.0
    on_device = gaussians.copied().to(device)
    clear = strike(on_device, planes.to(device), plane_of.to(device), bent_share)
    assert torch.equal(clear.cpu(), off.all(dim=1))
    same_votes(on_device, expected)
    assert torch.equal(expected.vote_ids, gaussians.vote_ids) == (bent_share < 0.5)


def test_labels_spread_within_cells(device: str) -> None:
    gaussians, rows = voters(0), some(NUM, 2000).unique()
    clear, radius_m = some(2, NUM, seed=3) == 1, 0.02
    segments, weights = best_votes(gaussians)
    normals = z_axis_from_quats(gaussians.quats_wxyz)
    expected, cells = gaussians.copied(), {}
    for row in rows.tolist():
        axis = int(normals[row].abs().argmax())
        cube = tuple(torch.floor(gaussians.means_m[row] / radius_m).tolist())
        facing = None if clear[row] else (axis, bool(normals[row, axis] > 0))
        cells.setdefault((bool(clear[row]), facing, cube), []).append(row)
    for (is_clear, *_), members in cells.items():
        best = max((float(weights[row]), int(segments[row])) for row in members)
        for row in members:
            if weights[row] == 0 and best[0] > FAINT * is_clear:
                expected.vote_ids[row, 0], expected.vote_weights[row, 0] = best[1], FAINT
    on_device = gaussians.copied().to(device)
    spread(on_device, rows.to(device), clear.to(device), radius_m)
    same_votes(on_device, expected)
    assert (expected.vote_ids != gaussians.vote_ids).sum() > 50


def test_masks_of_traced_gaussians_and_what_they_share(device: str) -> None:
    config, height, width = TrackingConfig(border_px=1), 24, 320
    labels = some(2, height // 6, width // 40).repeat_interleave(6, 0).repeat_interleave(40, 1) * 3
    labels += (torch.arange(width) // 40)[None] % 3  # masks 0..5
    masks = Masks(labels.int().numpy(), np.ones(5, np.float32))
    pairs, random = 4000, torch.Generator().manual_seed(5)
    trace = Trace(some(300, pairs), some(height * width, pairs, seed=2), torch.rand(pairs, generator=random))
    showing = torch.rand(height, width, generator=random) < 0.8
    on_device = Trace(*(t.to(device) for t in (trace.gaussians, trace.pixels, trace.weights)))
    traced = MaskTrace.of(masks, labels.to(device), showing.to(device), on_device, 300, config)
    area = torch.bincount(labels.reshape(-1), minlength=6)
    border = torch.zeros(height, width, dtype=torch.bool)
    for down, right in [(d, r) for d in (-1, 0, 1) for r in (-1, 0, 1)]:
        moved = torch.full((height + 2, width + 2), -1)
        moved[1 + down : 1 + down + height, 1 + right : 1 + right + width] = labels
        inner = moved[1:-1, 1:-1]
        border |= (inner >= 0) & (inner != labels)
    rim = torch.bincount(labels.reshape(-1), border.reshape(-1).float(), minlength=6)
    at_border = torch.where(rim > 0.5 * area, 0.3, 0.05)[labels]
    weight = torch.where(border, at_border, 1.0) * showing
    sums = torch.zeros(300, 6)
    sums.index_put_(
        (trace.gaussians, labels.reshape(-1)[trace.pixels]), trace.weights * weight.reshape(-1)[trace.pixels],
        accumulate=True,
    )  # fmt: skip
    sums[:, 0] = 0
    rows = trace.gaussians.unique()
    expected, order = sums[rows].sort(dim=1, descending=True, stable=True)
    assert torch.equal(traced.gaussians.cpu(), rows)
    torch.testing.assert_close(traced.weights.cpu(), expected[:, :2])
    assert torch.equal(traced.masks.cpu(), torch.where(expected > 0, order, 0)[:, :2])

    columns, votes = some(4, len(rows)), some(5, len(rows)).float()
    overlap = Overlap.of(traced, np.arange(4), columns.to(device), votes.to(device))
    shared, voted = torch.zeros(2, 6, 4)
    for each in range(2):
        shared.index_put_((traced.masks[:, each].cpu(), columns), traced.weights[:, each].cpu(), accumulate=True)
    voted.index_put_((traced.masks[:, 0].cpu(), columns), votes, accumulate=True)
    np.testing.assert_allclose(overlap.weights[1:], shared[1:], rtol=1e-4)
    np.testing.assert_allclose(overlap.votes[1:], voted[1:])
    assert not overlap.weights[0].any() and not overlap.votes[0].any()
    assert overlap.in_view.tolist() == [bool((columns == c).any()) for c in range(4)]


def test_sums_over_surfaces(device: str) -> None:
    gaussians, columns = voters(0), some(4, NUM)
    area = gaussians.scales_m.prod(dim=1, keepdim=True)
    values = torch.cat([torch.ones_like(area), area, area * gaussians.normals, gaussians.means_m], dim=1)
    expected = torch.zeros(4, 8).index_add_(0, columns, values)
    found = surface_sums(gaussians.to(device), columns.to(device), 4)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-4, atol=1e-6)
    assert not found[0].any()

"""A ring's images of a volume of occupancy and colour."""

import torch
from jaxtyping import Float
from torch import Tensor

from instascene_ros.core.view_tensors import BACKGROUND
from instascene_ros.models.ring_geometry import RingShape, sampled

STEPS = 112  # of a ray, on its way through the volume: less than a cell each
VIEWS_AT_ONCE = 4


def images_of_volume(
    volume: Float[Tensor, "S 4 G G G"], shape: RingShape, rows: list[int]
) -> Float[Tensor, "S V 5 H W"]:
    """Each pixel shows the first place on its ray that is more likely inside than outside.

    `volume`: logits of being inside, then red, green, blue (-1..1). Channels as in `core.view_tensors`; alpha is how
    likely the likeliest place on the ray is inside, so that silhouettes are finer than pixels.
    """
    parts = [
        _images(volume, shape, rows[first : first + VIEWS_AT_ONCE]) for first in range(0, len(rows), VIEWS_AT_ONCE)
    ]
    return torch.cat(parts, 1)


def _images(volume: Float[Tensor, "S 4 G G G"], shape: RingShape, rows: list[int]) -> Float[Tensor, "S V 5 H W"]:
    device, count = volume.device, len(volume)
    nearness = torch.linspace(1, -1, STEPS, device=device)
    eyes, rays = shape.eyes(device)[rows], shape.rays(device)[rows]
    reach = shape.distance_radii - nearness
    places = eyes[:, None, None] + reach[:, None] * rays[:, :, None]  # V P T 3
    places = places.reshape(1, -1, 3).expand(count, -1, -1)
    logits = sampled(volume[:, :1].float(), places).reshape(count, -1, STEPS)
    best, at_best = logits.max(-1)
    inside = logits > 0
    first = torch.where(inside.any(-1), inside.int().argmax(-1), at_best)
    there, before = (logits.gather(-1, k[..., None])[..., 0] for k in (first, (first - 1).clamp_min(0)))
    crossing = (there > 0) & (before < 0)
    back = torch.where(crossing, there / (there - before).clamp_min(1e-6), 0.0)  # share of a step, towards the camera
    near = nearness[first] + back * (2 / (STEPS - 1))
    seen = best > 0
    surface = eyes.repeat_interleave(rays.shape[1], 0) + (shape.distance_radii - near)[..., None] * rays.reshape(-1, 3)
    rgb = sampled(volume[:, 1:].float(), surface)
    there = seen[:, None]
    images = torch.cat([
        torch.where(there, rgb, BACKGROUND[0]), torch.where(there, near[:, None], BACKGROUND[3]),
        (2 * torch.sigmoid(best) - 1)[:, None],
    ], 1)  # fmt: skip
    size = shape.size_px
    return images.reshape(count, 5, len(rows), size, size).transpose(1, 2)

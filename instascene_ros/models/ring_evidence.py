"""What a ring's known pixels say of each cell of the volume between its cameras, without anything learned."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

REACH = 0.12  # radii from a seen surface within which distances to it are told
FEATURES = 10
CONTENT, KNOWN, NEAR, FAR = 5, 10, 11, 12  # channels of the images, see `ring_model`


def evidence_of(
    images: Float[Tensor, "S V C P"],
    pixels: Int64[Tensor, "V N"],
    inside: Bool[Tensor, "V N"],
    nearness: Float[Tensor, "V N"],
) -> Float[Tensor, "S F N"]:
    """Features of cells that each view shows in `pixels` (where `inside` its image), so near to its camera.

    Mean signed distance along the rays to seen surface (+ behind it) and the share of views that say so; how far the
    cell lies in front of it at most; share of views that show the surface at the cell, and its colour there; whether
    a ray through it is known to be empty; how far it is outside of where the object can be, towards the cameras and
    away from them.
    """
    count, cells = len(images), pixels.shape[1]
    zero = images.new_zeros(count, cells)
    behind, shown, ahead, close, red, green, blue, empty = (zero,) * 8
    before, beyond = zero - 1, zero - 1
    for view in range(images.shape[1]):
        look = images[:, view].gather(2, pixels[view].expand(count, images.shape[2], -1))
        on = inside[view] * look[:, KNOWN]
        own = on * (look[:, CONTENT + 4] > 0)
        offset = (look[:, CONTENT + 3] - nearness[view]) / REACH
        near = own * (1 - offset.abs()).clamp_min(0)
        behind = behind + own * offset.clamp(-1, 1)
        shown = shown + own
        ahead = torch.maximum(ahead, own * (-offset).clamp(0, 1))
        close = close + near
        red, green, blue = (total + near * look[:, CONTENT + k] for k, total in enumerate((red, green, blue)))
        empty = torch.maximum(empty, on - own)
        reached = inside[view] * (look[:, NEAR] > -1)
        before = torch.maximum(before, torch.where(reached > 0, (nearness[view] - look[:, NEAR]) / REACH, -1.0))
        beyond = torch.maximum(beyond, torch.where(reached > 0, (look[:, FAR] - nearness[view]) / REACH, -1.0))
    views, weight = images.shape[1], close.clamp_min(1e-2)
    return torch.stack([
        behind / shown.clamp_min(1), 4 * shown / views, ahead, 4 * close / views, red / weight, green / weight,
        blue / weight, empty, before.clamp_max(1), beyond.clamp_max(1),
    ], 1)  # fmt: skip

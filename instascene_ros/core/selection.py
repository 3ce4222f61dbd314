"""Interactive selection: clicks in a view, or a point in space, to instances and their masks.

A view of the map is rendered once into an id buffer; every click after that is a look-up and a comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int32, Int64, Integer
from torch import Tensor

from instascene_ros.core.errors import InvalidEditError, UnknownInstanceError
from instascene_ros.core.rendering.contract import Trace

MIN_COVER = 0.5  # blend weight below which a pixel shows nothing in particular


@dataclass(frozen=True)
class Click:
    """A pixel, to add the instance seen there to the selection or to remove it."""

    u_px: float
    v_px: float
    remove: bool = False


@dataclass(frozen=True)
class Selection:
    """What some clicks chose."""

    ids: tuple[int, ...]
    mask: Bool[Tensor, "H W"]  # of the view that was clicked in, on the map's device


@dataclass(frozen=True)
class IdBuffer:
    """The instance that each pixel of one view shows."""

    ids: Int32[Tensor, "H W"]  # 0 = none

    def instance_at(self, u_px: float, v_px: float) -> int:
        """Instance at the pixel that (u, v) falls into, 0 = none.

        Raises:
            InvalidEditError: outside the image.
        """
        height, width = self.ids.shape
        if not (-0.5 <= u_px < width - 0.5 and -0.5 <= v_px < height - 0.5):
            raise InvalidEditError(f"clicked at ({u_px}, {v_px}); the view is {width}x{height} px")
        return int(self.ids[int(v_px + 0.5), int(u_px + 0.5)])

    def mask(self, ids: Sequence[int]) -> Bool[Tensor, "H W"]:
        """Pixels that show one of `ids`."""
        if len(ids) == 1:
            return self.ids == ids[0]
        return torch.isin(self.ids, torch.tensor(list(ids), dtype=self.ids.dtype, device=self.ids.device))

    def select(self, clicks: Sequence[Click]) -> Selection:
        """Apply clicks in order; one on no instance changes nothing.

        Raises:
            InvalidEditError: a click outside the image; nothing is selected.
        """
        chosen: dict[int, None] = {}  # an ordered set
        for click in clicks:
            instance = self.instance_at(click.u_px, click.v_px)
            if click.remove:
                chosen.pop(instance, None)
            elif instance > 0:
                chosen[instance] = None
        return Selection(tuple(chosen), self.mask(tuple(chosen)))


def id_buffer(trace: Trace, labels: Integer[Tensor, " N"], height: int, width: int) -> IdBuffer:
    """The label with the largest summed blend weight in every pixel; 0 where that is none or the cover is thin."""
    base = int(labels.max()) + 1 if len(labels) else 1
    keys, inverse = torch.unique(trace.pixels * base + labels[trace.gaussians].long(), return_inverse=True)
    sums = torch.zeros(len(keys), device=keys.device).index_add_(0, inverse, trace.weights.float())
    pixels, ids = keys // base, (keys % base).int()
    cover = torch.zeros(height * width, device=keys.device).index_add_(0, pixels, sums)
    heaviest = torch.zeros_like(cover).scatter_reduce_(0, pixels, sums, "amax")
    wins = (sums >= heaviest[pixels]) & (cover[pixels] >= MIN_COVER)
    image = torch.zeros(height * width, dtype=torch.int32, device=keys.device)
    image[pixels[wins]] = ids[wins]
    return IdBuffer(image.reshape(height, width))


def nearest_instance(
    point_m: Float[Tensor, " 3"], means_m: Float[Tensor, "N 3"], labels: Integer[Tensor, " N"], radius_m: float
) -> int:
    """Instance of the labelled Gaussian nearest to a world point.

    Raises:
        InvalidEditError: the point is not finite.
        UnknownInstanceError: none within `radius_m`.
    """
    if not bool(torch.isfinite(point_m).all()):
        raise InvalidEditError(f"point is {point_m.tolist()}; expected finite metres")
    rows: Int64[Tensor, " L"] = torch.nonzero(labels > 0)[:, 0]
    if len(rows) == 0:
        raise UnknownInstanceError("there are no instances in the map yet")
    distances_m = torch.linalg.vector_norm(means_m[rows] - point_m, dim=1)
    nearest = int(distances_m.argmin())
    instance = int(labels[rows[nearest]])
    if float(distances_m[nearest]) > radius_m:
        raise UnknownInstanceError(
            f"no instance is within {radius_m} m of the point {[round(x, 3) for x in point_m.tolist()]}; "
            f"the nearest, {instance}, is {float(distances_m[nearest]):.2f} m away"
        )
    return instance

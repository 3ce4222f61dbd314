"""Which regions of an image are things, and which are parts of the surfaces around them."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Shaped

from instascene_ros.models.superpixels import Superpixels
from instascene_ros.models.surface import Surface

CLEAR_SHARE = 0.4  # of a region that has to leave its plane clearly
TALL_SHARE = 0.8  # of a region that is not thin
STEP_SHARE = 0.6  # of that clear distance has to be the mean step at its outline
RIM_PX = 3  # distance over which a step is measured
FLAT = 0.95  # mean normal of a flat region; 1 = no spread at all
OWNED_SHARE = 0.15  # of its outline that a flat region has to own


def thing_pixels(
    regions: Int32[np.ndarray, "H W"], heights: Float32[np.ndarray, "H W"], count: int, limit: float
) -> Int32[np.ndarray, "H W"]:
    """Regions 0..count-1 without what belongs to the planes under them after all.

    A region has to leave its plane clearly in a good part of it and with a step at its outline: a thing that lies on a
    table has one, a bump that a warped lens puts there has none. Thin things keep what rises less than `limit`, from
    tall ones it is cut: that much is noise of the table around them.
    """
    tall = np.minimum(np.abs(heights), 3 * limit)
    clear = tall >= limit
    pixels = np.bincount(regions.ravel(), minlength=count)
    share = np.bincount(regions.ravel(), clear.ravel(), count) / np.maximum(pixels, 1)
    thing = (share >= CLEAR_SHARE) & (_outline_step(regions, tall, tall < 3 * limit, count) >= STEP_SHARE * limit)
    return np.where(thing[regions] & (clear | (share < TALL_SHARE)[regions]), regions, 0)


def _outline_step(
    regions: Int32[np.ndarray, "H W"], tall: Float32[np.ndarray, "H W"], on_plane: Bool[np.ndarray, "H W"], count: int
) -> Float64[np.ndarray, " regions"]:
    """Mean rise from the surrounding plane over the outline of each region; infinite where none surrounds it."""
    step, rim = np.zeros(count), np.zeros(count)
    for (region, beside), (height, base), (_, plane) in zip(*map(_pairs, (regions, tall, on_plane)), strict=True):
        edge = (region > 0) & (beside == 0) & plane
        step += np.bincount(region[edge], (height - base)[edge], count)
        rim += np.bincount(region[edge], minlength=count)
    return np.where(rim > 0, step / np.maximum(rim, 1), np.inf)


def backdrop(
    regions: Int32[np.ndarray, "H W"], surface: Surface, patches: Superpixels, region_of_patch: Int32[np.ndarray, " S"]
) -> Bool[np.ndarray, " regions"]:
    """Which regions are flat and seen only behind other things, such as a corner of the floor: not the region's own
    shape ends them, but what is in front, the image border or the range of the camera."""
    count = int(region_of_patch.max(initial=-1)) + 2
    weight = np.zeros((count, 3))
    np.add.at(weight, region_of_patch + 1, patches.normals * patches.pixels[:, None])
    pixels = np.bincount(region_of_patch + 1, patches.pixels, count)
    flat = np.linalg.norm(weight, axis=-1) > FLAT * np.maximum(pixels, 1)
    images = (regions, surface.points_m[..., 2], 3 * surface.sigma_m)
    owned, behind = np.zeros(count), np.zeros(count)
    for (region, beside), (here, there), (slack, _) in zip(*map(_pairs, images), strict=True):
        edge = (region > 0) & (beside != region) & (there > 0)
        ends = edge & (here - there < slack)  # it covers or touches what is next to it
        owned += np.bincount(region[ends], minlength=count)
        behind += np.bincount(region[edge & ~ends], minlength=count)
    return flat & (owned <= OWNED_SHARE * (owned + behind))


def _pairs(
    image: Shaped[np.ndarray, "H W"],
) -> Iterator[tuple[Shaped[np.ndarray, "h w"], Shaped[np.ndarray, "h w"]]]:
    """Values at a pixel and `RIM_PX` further right, left, below and above it."""
    for rows in (image, image.T):
        near, far = rows[:-RIM_PX], rows[RIM_PX:]
        yield near, far
        yield far, near

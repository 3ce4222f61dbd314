"""Entity masks from depth and colour alone, without weights."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32
from numba import njit

from instascene_ros.core.config import SegmentationConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.models.region_graph import Boundaries, boundaries_of, cut_strength, merged
from instascene_ros.models.superpixels import lab_of_rgb, superpixels_of
from instascene_ros.models.support_planes import find_planes, plane_heights, support_planes, up_direction
from instascene_ros.models.surface import Surface, depth_noise_m, surface_of_depth
from instascene_ros.models.things import backdrop, thing_pixels

REFERENCE_WIDTH_PX = 320  # pixel sizes in the configuration are meant at this width
RIM_SHARE = 0.7  # of the distance at which a pixel clearly leaves a plane


class GeometricSegmenter:
    """What stands on or in front of large planes, cut where depth steps, where creases are concave and at colour edges.

    Stateless: every frame is segmented on its own. Large planes (table, floor, walls) are entities as well: what has no
    mask at all would, view by view, take on the label of the things beside it.
    """

    def __init__(self, config: SegmentationConfig) -> None:
        self._config = config

    def __call__(self, frame: Frame) -> Masks:
        config, scale = self._config, frame.camera.width / REFERENCE_WIDTH_PX
        surface, lab = self._surface(frame, scale), lab_of_rgb(frame.rgb)
        heights, plane_of = self._heights(surface, frame)
        # Things keep their lower rim: what barely rises is a candidate too, and judged once it is a region.
        candidates = surface.known & (np.abs(heights) >= RIM_SHARE * config.support_sigmas)
        patches = superpixels_of(surface, lab, candidates, max(2, round(config.patch_px * scale)))
        edges = boundaries_of(patches, surface, lab)
        strength = cut_strength(edges, patches)
        least_px = max(1, round(config.min_mask_px * scale**2))
        region_of_patch = merged(edges, strength, patches.pixels, config.cut_log_odds, least_px)
        scores = _contrast(edges, strength, region_of_patch)
        regions = np.append(np.int32(0), region_of_patch + 1)[patches.labels]
        things = thing_pixels(regions, heights, len(scores) + 1, config.support_sigmas)
        things[backdrop(things, surface, patches, region_of_patch)[things]] = 0
        planes = np.where((plane_of > 0) & (np.abs(heights) < 3 * config.support_sigmas), len(scores) + plane_of, -1)
        labels = np.where(surface.known & (things == 0), planes, things).astype(np.int32)
        _fill(labels, lab, max(1, round(config.fill_px * scale)))
        scores = np.concatenate([scores, np.ones(plane_of.max(initial=0), np.float32)])
        return _as_masks(np.maximum(labels, 0), scores, least_px)

    def _surface(self, frame: Frame, scale: float) -> Surface:
        config = self._config
        depth_m = np.where(np.isfinite(frame.depth_m), frame.depth_m, 0).astype(np.float32)
        sigma_m = depth_noise_m(depth_m, config.noise_base_m, config.noise_growth_per_m)
        return surface_of_depth(depth_m, sigma_m, frame.camera, round(config.normal_radius_px * scale))

    def _heights(self, surface: Surface, frame: Frame) -> tuple[Float32[np.ndarray, "H W"], Int32[np.ndarray, "H W"]]:
        """Over the planes that carry or surround things, depth standard deviations; and over which of them, from 1."""
        planes = find_planes(surface, frame.camera, self._config)
        up = up_direction(planes, frame.T_world_camera[:3, :3])
        return plane_heights(surface, support_planes(planes, up, self._config), self._config.support_sigmas)


def _contrast(
    edges: Boundaries, strength: Float32[np.ndarray, " E"], regions: Int32[np.ndarray, " S"]
) -> Float32[np.ndarray, " R"]:
    """Mean odds, 0..1, that the boundaries of each region to other regions are real; 1 where it touches none."""
    count = int(regions.max(initial=-1)) + 1
    a, b = regions[edges.first], regions[edges.second]
    outer = a != b
    weight = edges.length_px[outer].astype(np.float64)
    odds = 1 / (1 + np.exp(-strength[outer].astype(np.float64)))
    touched = np.bincount(a[outer], weight, count) + np.bincount(b[outer], weight, count)
    total = np.bincount(a[outer], weight * odds, count) + np.bincount(b[outer], weight * odds, count)
    return np.where(touched > 0, total / np.maximum(touched, 1), 1).astype(np.float32)


def _as_masks(labels: Int32[np.ndarray, "H W"], scores: Float32[np.ndarray, " R"], least_px: int) -> Masks:
    """Regions of at least `least_px` pixels, renumbered."""
    pixels = np.bincount(labels.ravel(), minlength=len(scores) + 1)
    kept = np.flatnonzero(pixels[1:] >= least_px) + 1
    number = np.zeros(len(pixels), np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return Masks(number[labels], scores[kept - 1])


@njit(cache=True)
@no_type_check
def _fill(labels, lab, steps):
    """Grow all labels, -1 too, into the zeros around them: each pixel joins the neighbour closest to it in colour."""
    height, width = labels.shape
    for _ in range(steps):
        before = labels.copy()
        for v in range(height):
            for u in range(width):
                if before[v, u] != 0:
                    continue
                best = np.inf
                for y in range(max(v - 1, 0), min(v + 2, height)):
                    for x in range(max(u - 1, 0), min(u + 2, width)):
                        if before[y, x] == 0:
                            continue
                        d = lab[y, x] - lab[v, u]
                        distance = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
                        if distance < best:
                            best = distance
                            labels[v, u] = before[y, x]

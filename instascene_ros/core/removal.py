"""What a removed object leaves: views that forget it, and its hole, continued from around it.

As in InstaScene's supplement, section 6: what other views saw behind the object is in the map already, the rest is
inpainted in views that showed it, and the Gaussians around it are refined to that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import ndimage
from torch import Tensor

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.inpainting import continued
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.protocols import Inpainter
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import Rendering, render
from instascene_ros.core.seeding import seed_surfels
from instascene_ros.core.views import spread

THERE = 0.3  # blend weight of the object alone from which a pixel shows it
AROUND_PX = 2  # its rim, where colours and depths are mixtures
IN_FRONT_M = 0.015  # what is nearer than the object by more than this hides it
KNOWN = 0.9  # blend weight from which the rest of the map shows what is there
LEVEL = 0.9  # cosine between normal and up: what carried the object goes on under it
MARGIN_PX = 4  # around the hole: these pixels hold the filling to what is there
MIN_HOLE_PX = 4
MAX_VIEWS = 4  # in which the hole is filled, one after the other


@dataclass(frozen=True)
class Sight:
    """Where one remembered view shows the object."""

    frame: Frame  # as it was
    shown: Bool[np.ndarray, "H W"]
    object_m: Float32[np.ndarray, "H W"]  # depth of the object; beside it, of its nearest part

    @property
    def forgotten(self) -> Frame:
        """The view without the object: it says nothing any more where it showed it."""
        masks = self.frame.masks
        if masks is not None:
            masks = replace(masks, labels=np.where(self.shown, 0, masks.labels).astype(np.int32))
        return replace(self.frame, depth_m=np.where(self.shown, 0, self.frame.depth_m).astype(np.float32), masks=masks)


def sight_of(surfels: GaussianMap, frame: Frame, rasterizer: Rasterizer) -> Sight | None:
    """Where the view shows the surfels of one object, None where nowhere. What hides the object is left out."""
    alone = render(rasterizer, surfels, frame.camera, frame.T_world_camera)
    there = ((alone.alpha > THERE) & (alone.depth_m > 0)).cpu().numpy()
    if not there.any():
        return None
    nearest = ndimage.distance_transform_edt(~there, return_distances=False, return_indices=True)
    object_m = alone.depth_m.cpu().numpy()[tuple(nearest)]
    hidden = frame.valid & (frame.depth_m < object_m - IN_FRONT_M)
    hidden = ndimage.binary_opening(hidden, np.ones((3, 3)))  # what hides is larger than an outlier of the depth
    shown = ndimage.binary_dilation(there & ~hidden, np.ones((3, 3)), AROUND_PX) & ~hidden
    return Sight(frame, shown, object_m) if shown.any() else None


def best_sights(sights: Sequence[Sight]) -> list[Sight]:
    """The views to fill the hole in: those that show most of it, from different sides."""
    toward = np.stack([s.frame.T_world_camera[:3, 2] for s in sights])
    shown_px = np.array([s.shown.sum() for s in sights], np.float32)
    return [sights[i] for i in spread(-toward, shown_px, MAX_VIEWS)]


@dataclass(frozen=True)
class HoleFiller:
    """Continues the rest of the map into the hole, one view at a time."""

    config: MappingConfig
    rasterizer: Rasterizer
    inpainter: Inpainter
    up: Float64[np.ndarray, " 3"]

    @torch.no_grad()
    def fill(self, sights: Sequence[Sight], gaussians: GaussianMap, labels: Int64[Tensor, " N"]) -> list[Keyframe]:
        """Append surfels for what no view saw; returns the views that they were made from, in the map's colours.

        The surfels have no confidence: whatever is seen there later replaces them. `labels` are the instances of the
        map's Gaussians, 0 = none.
        """
        views = []
        for sight in best_sights(sights):
            hole, view = self._filled(sight, gaussians, labels)
            if view is None:
                continue
            seeds = seed_surfels(view, torch.from_numpy(hole).to(view.device))
            seeds = seeds.select(slice(0, max(self.config.max_gaussians - len(gaussians), 0)))
            seeds.confidence.zero_()
            gaussians.append(seeds)
            labels = torch.cat([labels, labels.new_zeros(len(seeds))])
            views.append(view)
        return views

    def _filled(
        self, sight: Sight, gaussians: GaussianMap, labels: Int64[Tensor, " N"]
    ) -> tuple[Bool[np.ndarray, "H W"], Keyframe | None]:
        """The hole in one view, and the view with the hole filled, which knows nothing but the hole and its margin."""
        frame = sight.frame
        rest = render(self.rasterizer, gaussians, frame.camera, frame.T_world_camera)
        alpha, depth_m = rest.alpha.cpu().numpy(), rest.depth_m.cpu().numpy()
        known = (alpha > KNOWN) & (depth_m > 0)
        hole = sight.shown & ~known
        goes_on = known & ~(depth_m < sight.object_m - IN_FRONT_M) & ~self._ends(sight, rest, gaussians, labels)
        inverse = continued(1 / np.maximum(depth_m, 1e-6).astype(np.float64), goes_on, hole)
        hole &= np.nan_to_num(inverse) > 0
        if hole.sum() < MIN_HOLE_PX:
            return hole, None
        near = ndimage.binary_dilation(hole, np.ones((3, 3)), MARGIN_PX)
        rgb = np.rint(rest.rgb.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)
        rgb = np.where(hole[..., None], self.inpainter(rgb, hole | (near & ~goes_on)), rgb)
        filled_m = np.where(hole, 1 / np.where(hole, inverse, 1), np.where(near & goes_on, depth_m, 0))
        filled = Frame(frame.stamp_ns, frame.camera, rgb, filled_m.astype(np.float32), frame.T_world_camera)
        return hole, Keyframe(filled, self.config, self.rasterizer.device)

    def _ends(
        self, sight: Sight, rest: Rendering, gaussians: GaussianMap, labels: Int64[Tensor, " N"]
    ) -> Bool[np.ndarray, "H W"]:
        """Other objects, but for their level tops: they end where they end, while tables and walls go on."""
        of_object = (labels > 0).float()[:, None]
        camera, T_world_camera = sight.frame.camera, sight.frame.T_world_camera
        share = self.rasterizer(gaussians, of_object, camera, T_world_camera).features[..., 0]
        level = np.abs(rest.normal.cpu().numpy() @ (T_world_camera[:3, :3].T @ self.up)) > LEVEL
        return (share > 0.5 * rest.alpha).cpu().numpy() & ~level

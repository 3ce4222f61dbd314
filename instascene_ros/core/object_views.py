"""Views of an object rendered from its surfels alone, fit to be fused."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.object_surfels import faces
from instascene_ros.core.objects import GeneratedView
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.core.views import PosedCamera

SHOWN = 0.5  # blend weight that makes a silhouette
RIM_PX = 1  # surfels reach beyond the object's edge by about this much: there is no depth there


@torch.no_grad()
def object_views(
    surfels: GaussianMap, cameras: Sequence[PosedCamera], rasterizer: Rasterizer
) -> list[GeneratedView]:
    """One view a camera; the surfels' z axes point out of the object.

    Depth is that of outsides alone. Where it is not known, at the rim or where a camera looks at an inside through a
    hole, it is 0 within the silhouette: the object is there, and nothing else is said.
    """
    return [_view(surfels, posed, rasterizer) for posed in cameras]


def _view(surfels: GaussianMap, posed: PosedCamera, rasterizer: Rasterizer) -> GeneratedView:
    camera, T_world_camera = posed
    seen = render(rasterizer, surfels.select(faces(surfels, T_world_camera)), camera, T_world_camera)
    silhouette = render(rasterizer, surfels, camera, T_world_camera).alpha.cpu().numpy() > SHOWN
    sure = ndimage.binary_erosion(silhouette, iterations=RIM_PX, border_value=1)
    sure &= seen.alpha.cpu().numpy() > SHOWN
    depth_m = np.where(sure, seen.depth_m.cpu().numpy(), 0).astype(np.float32)
    colors = (seen.rgb / seen.alpha.clamp(min=1e-3)[..., None]).clamp(0, 1).cpu().numpy()
    rgb = np.rint(255 * colors).astype(np.uint8)
    return GeneratedView(camera, T_world_camera, rgb, depth_m, silhouette.astype(np.float32))

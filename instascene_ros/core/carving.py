"""Which surfels a keyframe disproves: those the camera looks through, and those that hide just under others."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.evidence import Evidence, in_view
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.splats import View

MIN_SHARE = 0.5  # of a surfel's pixels have to be seen through: single outliers of the depth image do not count
SEEN_THROUGH_LEAVES = 0.4  # of the confidence: from the highest to none takes five such views in a row
HIDDEN_LEAVES = 0.7
MIN_SIGMA_PX = 0.5
MIN_CONFIDENCE = 0.5  # what is doubted and less certain than this goes


@torch.no_grad()
def carve(keyframe: Keyframe, evidence: Evidence, gaussians: GaussianMap) -> Bool[Tensor, " N"]:
    """Lower the confidence of what the view contradicts; returns the surfels that are left."""
    surface_m = torch.where(keyframe.usable & ~keyframe.edges, keyframe.smooth_m, torch.inf)
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import revision_kernels

        columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.log_scales, gaussians.confidence)
        limits = (MIN_SHARE, SEEN_THROUGH_LEAVES, HIDDEN_LEAVES, MIN_CONFIDENCE, MIN_SIGMA_PX)
        view = View.of(keyframe.camera, keyframe.frame.T_world_camera)
        return revision_kernels.carve(
            columns, (evidence.looked, evidence.seen_through), (surface_m, keyframe.tolerance_m), view,
            (*limits, keyframe.config.min_depth_m),
        )  # fmt: skip
    through = evidence.seen_through > MIN_SHARE * evidence.looked
    hidden = _hidden(keyframe, surface_m.reshape(-1), evidence, gaussians)
    leaves = 1 - (1 - SEEN_THROUGH_LEAVES) * through.float() - (1 - HIDDEN_LEAVES) * hidden.float()  # never both
    gaussians.confidence.mul_(leaves)
    return ~((through | hidden) & (gaussians.confidence < MIN_CONFIDENCE))


def _hidden(
    keyframe: Keyframe, surface: Float32[Tensor, " P"], evidence: Evidence, gaussians: GaussianMap
) -> Bool[Tensor, " N"]:
    """Surfels that lie on the observed surface and face the camera, but of which nothing shows: doubles."""
    pixels, z = in_view(keyframe, gaussians)
    on_surface = (pixels >= 0) & ((z - surface[pixels]).abs() < keyframe.tolerance_m.reshape(-1)[pixels])
    toward = keyframe.position_m - gaussians.means_m
    # The far side of a thin thing lies on the surface within tolerance too, but faces away.
    facing = (gaussians.normals * toward).sum(-1) > 0.5 * toward.norm(dim=-1)
    # Surfels much finer than the pixels share them: none need show.
    fine = gaussians.scales_m.amin(dim=1) * keyframe.camera.fx < MIN_SIGMA_PX * z
    return on_surface & facing & ~fine & (evidence.looked == 0)

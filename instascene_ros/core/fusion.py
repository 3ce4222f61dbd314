"""Closed-form refinement: every surfel keeps a running mean of what the camera says about it.

A surfel moves along its normal towards the observed surface by the share that an inverse-variance mean gives the new
view, as in surfel fusion (Keller et al., 3DV 2013): noise falls with the square root of the views, at the price of one
render. Colours follow the error of the rendered image instead of the image itself: surfels overlap, and a mean of what
each covers would blur twice. That is simultaneous iterative reconstruction (Gilbert, 1972), one sweep a keyframe.
"""

from instascene_ros.core.config import MappingConfig
from instascene_ros.core.evidence import Evidence
from instascene_ros.core.gaussian_map import GaussianMap

MIN_COLOR_SHARE = 0.15  # a sweep goes on sharpening, however many views there were


def fuse(evidence: Evidence, gaussians: GaussianMap, config: MappingConfig) -> None:
    """Move surfels towards what the frame shows, recolour them, and raise their confidence."""
    if gaussians.device.type == "cuda":
        from instascene_ros.core.rendering import revision_kernels

        columns = (gaussians.means_m, gaussians.quats_wxyz, gaussians.colors, gaussians.confidence)
        told = (evidence.agreed, evidence.quality, evidence.shift_m, evidence.color_error)
        revision_kernels.fuse(columns, told, MIN_COLOR_SHARE, config.max_confidence)
        return
    seen = evidence.agreed > 0
    share = seen * evidence.quality / (gaussians.confidence + evidence.quality).clamp(min=1e-6)
    # Only along the normal: sliding within the surface would bunch surfels up.
    gaussians.means_m += (share * evidence.shift_m)[:, None] * gaussians.normals
    color_share = (seen * share.clamp(min=MIN_COLOR_SHARE))[:, None]
    gaussians.colors.add_(color_share * evidence.color_error).clamp_(0, 1)
    gaussians.confidence.add_(seen * evidence.quality).clamp_(max=config.max_confidence)

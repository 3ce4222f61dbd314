"""Interactive selection by features, the paper's route: a click selects all that looks like what was clicked at.

It needs no instances, only a refined map. `selection.IdBuffer` is the other route.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidEditError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.selection import MIN_COVER, Click

MIN_SIMILARITY = 0.8  # cosine; the paper's tool asks for (cosine + 1) / 2 > 0.9


@dataclass(frozen=True)
class FeatureView:
    """The map's features as one camera sees them: rendered once, then asked at every click."""

    unit_features: Float32[Tensor, "H W 16"]  # 0 where the map does not cover the pixel

    @classmethod
    def of(
        cls, gaussians: GaussianMap, rasterizer: Rasterizer, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"]
    ) -> "FeatureView":
        """Raises InvalidEditError where the map has no features."""
        if gaussians.features is None:
            raise InvalidEditError("the map has no features yet: refine it first, or select by instance")
        with torch.no_grad():
            seen = rasterizer(gaussians, gaussians.features, camera, T_world_camera)
            norm = seen.features.norm(dim=-1, keepdim=True)
            covered = (seen.alpha[..., None] >= MIN_COVER) & (norm > 1e-6)
            return cls(torch.where(covered, seen.features / norm.clamp(min=1e-6), 0.0))

    def select(self, clicks: Sequence[Click], min_similarity: float = MIN_SIMILARITY) -> Bool[Tensor, "H W"]:
        """Pixels that look like one that was clicked at; clicks apply in order, each adds or removes.

        Raises:
            InvalidEditError: a click outside the image; nothing is selected.
        """
        height, width = self.unit_features.shape[:2]
        chosen = torch.zeros(height, width, dtype=torch.bool, device=self.unit_features.device)
        for click in clicks:
            if not (-0.5 <= click.u_px < width - 0.5 and -0.5 <= click.v_px < height - 0.5):
                raise InvalidEditError(f"clicked at ({click.u_px}, {click.v_px}); the view is {width}x{height} px")
            clicked = self.unit_features[int(click.v_px + 0.5), int(click.u_px + 0.5)]
            alike = self.unit_features @ clicked > min_similarity
            chosen = chosen & ~alike if click.remove else chosen | alike
        return chosen

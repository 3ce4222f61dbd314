"""What every rendering backend does: blend any per-Gaussian features front to back, and say who contributed.

2D Gaussian splatting (2DGS). For each pixel, Gaussians are taken in the order of the depth of their centres:

    rho   = min(u^2 + v^2 at the ray-disc intersection in standard deviations, 2 * squared pixel distance to the centre)
    alpha = min(0.999, opacity * exp(-rho / 2)); pairs below 1/255 are skipped
    w     = alpha * T, T <- T * (1 - alpha); a ray stops where T would fall to 1e-4 or below

Centres nearer than `NEAR_M` are skipped. Depth is not blended from centres: see `render`.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap

NEAR_M = 0.01
MAX_ALPHA = 0.999
MIN_ALPHA = 1.0 / 255.0
MIN_TRANSMITTANCE = 1e-4


@dataclass(frozen=True)
class Trace:
    """(Gaussian, pixel) pairs whose blend weight alpha*T exceeds a threshold, in no particular order.

    InstaScene's `gau_related_pixels`; with a threshold of 0.1 at most nine pairs a pixel exist.
    """

    gaussians: Int64[Tensor, " P"]  # row of the map
    pixels: Int64[Tensor, " P"]  # v * width + u
    weights: Float32[Tensor, " P"]  # alpha * T


@dataclass(frozen=True)
class Blended:
    """Features blended over one view, background 0."""

    features: Float32[Tensor, "H W C"]  # sum of w * feature
    alpha: Float32[Tensor, "H W"]  # sum of w
    trace: Trace | None = None


@runtime_checkable
class Rasterizer(Protocol):
    """One backend. Differentiable in means, quats, log_scales, opacity_logits and features."""

    name: str
    device: str  # where its tensors live: "cpu" or "cuda"

    def __call__(
        self,
        gaussians: GaussianMap,
        features: Float32[Tensor, "N C"],
        camera: Camera,
        T_world_camera: Float64[np.ndarray, "4 4"],
        min_trace_weight: float | None = None,
    ) -> Blended:
        """Blend `features`; with `min_trace_weight`, also trace pairs heavier than it (no gradient)."""
        ...

"""What one view, observed or generated, asks of an object's surfels."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import inverse, normals_of_depth, project, transform
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.object_surfels import faces
from instascene_ros.core.objects import MASK_OBJECT, MASK_OTHER, GeneratedView, ObjectView
from instascene_ros.core.rendering.contract import Blended, Rasterizer
from instascene_ros.core.rendering.render import plane_features, surface_of

DEPTH_WEIGHT = 20.0  # per metre, against colour errors of 0..1
MAX_RESIDUAL_M = 0.02  # depth further off shows something else
NORMAL_WEIGHT = 0.05
ALPHA_WEIGHT = 0.5
TRESPASS_M = 0.004  # the object in front of what was seen by more than this is wrong
BLEED_PX = 2  # surfels fade out over this much outside their edge: to punish that would shrink the object
MIN_COVER = 0.3  # less covered pixels have no depth worth comparing


@dataclass(frozen=True)
class Look:
    """Images on the rasteriser's device."""

    camera: Camera
    T_world_camera: Float64[np.ndarray, "4 4"]
    rgb: Float32[Tensor, "H W 3"]  # 0..1
    depth_m: Float32[Tensor, "H W"]  # 0 = none
    normals: Float32[Tensor, "H W 3"]  # camera frame; 0 = none
    shown: Bool[Tensor, "H W"]  # the object is there
    empty: Bool[Tensor, "H W"]  # it is not, at any depth
    behind: Bool[Tensor, "H W"]  # if it is there, it is behind `depth_m`: that of something else
    weight: float

    @classmethod
    def observed(cls, view: ObjectView, sphere: ObjectSphere, weight: float, device: str) -> "Look":
        """The part of the view that shows the object's sphere."""
        view = _cropped(view, sphere)
        known = view.depth_m > 0
        return cls._of(
            view.camera, view.T_world_camera, view.rgb, view.depth_m, view.mask == MASK_OBJECT,
            np.zeros_like(known), (view.mask == MASK_OTHER) & known, weight, device,
        )  # fmt: skip

    @classmethod
    def generated(cls, view: GeneratedView, device: str) -> "Look":
        shown = view.alpha > 0.5
        nothing = np.zeros_like(shown)
        return cls._of(
            view.camera, view.T_world_camera, view.rgb, view.depth_m, shown, view.alpha < 0.1, nothing, 1.0, device
        )

    @classmethod
    def _of(
        cls,
        camera: Camera,
        T_world_camera: np.ndarray,
        rgb: np.ndarray,
        depth_m: np.ndarray,
        shown: np.ndarray,
        empty: np.ndarray,
        behind: np.ndarray,
        weight: float,
        device: str,
    ) -> "Look":
        normals = normals_of_depth(depth_m, camera, radius_px=1)
        beyond = ~ndimage.binary_dilation(shown, iterations=BLEED_PX)
        empty, behind = empty & beyond, behind & beyond
        images = ((rgb / 255).astype(np.float32), depth_m, normals, shown, empty, behind)
        tensors = (torch.from_numpy(np.ascontiguousarray(image)).to(device) for image in images)
        return cls(camera, T_world_camera, *tensors, weight)

    def loss(self, surfels: GaussianMap, rasterizer: Rasterizer) -> Float32[Tensor, ""]:
        """Sum over pixels of colour, depth, normal and silhouette errors (L1); differentiable."""
        surfels = surfels.select(faces(surfels, self.T_world_camera))
        features = plane_features(surfels, self.camera, self.T_world_camera)
        ones = torch.ones_like(features[:, :1])  # blends to alpha, with a gradient in every backend
        blended = rasterizer(surfels, torch.cat([features, ones], 1), self.camera, self.T_world_camera)
        alpha = blended.features[..., 7]
        rgb, depth_m, normal = surface_of(Blended(blended.features[..., :7], alpha), self.camera)
        covered = (alpha.detach() > MIN_COVER) & (depth_m.detach() > 0)
        residual_m = (depth_m - self.depth_m).abs()
        same = self.shown & covered & (self.depth_m > 0) & (residual_m.detach() < MAX_RESIDUAL_M)
        turned = same & (self.normals.abs().sum(-1) > 0)
        trespass = self.behind & (depth_m.detach() < self.depth_m - TRESPASS_M)
        parts = (
            ((rgb - self.rgb).abs().sum(-1) * self.shown).sum(),
            DEPTH_WEIGHT * (residual_m * same).sum(),
            NORMAL_WEIGHT * ((1 - (normal * self.normals).sum(-1)) * turned).sum(),
            ALPHA_WEIGHT * ((1 - alpha) * self.shown + alpha * (self.empty | trespass)).sum(),
        )
        return self.weight * sum(parts[1:], parts[0])


def _cropped(view: ObjectView, sphere: ObjectSphere) -> ObjectView:
    """The window around the sphere; the whole view where the sphere is not in front of it as a whole."""
    camera = view.camera
    pixels, z = project(transform(inverse(view.T_world_camera), sphere.center_m[None]), camera)
    if z[0] <= 1.5 * sphere.radius_m:
        return view
    reach_px = sphere.radius_m * np.array([camera.fx, camera.fy]) / (z[0] - sphere.radius_m)
    size = np.array([camera.width, camera.height])
    left, top = np.clip(np.floor(pixels[0] - reach_px), 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(pixels[0] + reach_px) + 1, (left + 1, top + 1), size).astype(int)
    window = slice(top, bottom), slice(left, right)
    return ObjectView(
        camera.cropped(int(left), int(top), int(right - left), int(bottom - top)),
        view.rgb[window], view.depth_m[window], view.mask[window], view.T_world_camera,
    )  # fmt: skip

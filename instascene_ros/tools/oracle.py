"""A model that knows the object: the ceiling of the guided pipeline, and a check of every step after the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.guidance import Denoise, Guide, Scheduler, output_for
from instascene_ros.core.guided_prior import GuidedPrior, Target
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.protocols import Report, silent
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.view_tensors import tensor_of_images, views_of_tensor
from instascene_ros.core.views import PosedCamera, Rig
from instascene_ros.models.diffusers_prior import ddim_scheduler


class OracleModel:
    """Answers every noisy sample as a model would that has learned this one object by heart."""

    name = "oracle"
    exact = False  # so that it shows what the whole pipeline makes of perfect views

    def __init__(
        self, mesh: Mesh, colors: UInt8[np.ndarray, "V 3"], rig: Rig, scheduler: Scheduler, num_steps: int = 10
    ) -> None:
        self.rig, self.scheduler, self.num_steps = rig, scheduler, num_steps
        self._caster, self._colors = RayCaster(mesh), colors

    def encode(self, target: Target) -> Guide:
        """See `MultiViewModel`."""
        known = target.known
        content = tensor_of_images(known.rgb, known.depth_m, known.alpha, target.cameras, target.sphere)
        return Guide(content, torch.from_numpy(known.known)[:, None])

    def denoiser(self, target: Target, guide: Guide, seed: int) -> Denoise:
        """See `MultiViewModel`."""
        clean = self.truth(target)

        def denoise(noisy: Tensor, timestep: Tensor) -> Any:
            return output_for(self.scheduler, noisy, clean, timestep)

        return denoise

    def decode(self, sample: Float32[Tensor, "B C H W"], target: Target) -> list[GeneratedView]:
        """See `MultiViewModel`."""
        return views_of_tensor(sample, target.cameras, target.sphere)

    def truth(self, target: Target) -> Float32[Tensor, "V 5 H W"]:
        """The true images."""
        looks = [self._caster.look(camera, T_world_camera) for camera, T_world_camera in target.cameras]
        depth_m = np.stack([depth for depth, _ in looks])
        vertex = np.stack([vertex for _, vertex in looks])
        rgb = np.where((vertex >= 0)[..., None], self._colors[np.maximum(vertex, 0)] / 255, 0).astype(np.float32)
        return tensor_of_images(rgb, depth_m, (vertex >= 0).astype(np.float32), target.cameras, target.sphere)


class SceneOracle:
    """A prior that knows all objects of a scene, and completes each observation with the one that it lies on."""

    name, exact = "oracle", False

    def __init__(self, truths: Sequence[Mesh], config: CompletionConfig, size_px: int = 64) -> None:
        self._truths, self._config = list(truths), config
        self._casters = [RayCaster(mesh) for mesh in self._truths]
        self._rig = Rig.rings(((config.ring_elevation_deg, config.ring_views),), size_px)

    def __call__(
        self, observation: ObjectObservation, cameras: list[PosedCamera], seed: int, report: Report = silent
    ) -> list[GeneratedView]:
        """See `Prior`."""
        points_m = observation.surfels.means_m.detach().cpu().numpy()
        off_m = [float(np.median(caster.distance_m(points_m))) for caster in self._casters]
        mesh = self._truths[int(np.argmin(off_m))]
        grey = np.full((len(mesh.vertices_m), 3), 128, np.uint8)
        model = OracleModel(mesh, grey, self._rig, ddim_scheduler())
        prior = GuidedPrior(model, make_rasterizer(self._config.device), self._config)
        return prior(observation, cameras, seed, report)

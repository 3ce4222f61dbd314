"""Whole objects from geometry alone: support contact and the smallest closure that observed free space allows."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from instascene_ros.core import meshing, solid
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.protocols import Report, silent
from instascene_ros.core.views import PosedCamera
from instascene_ros.models.closure import Seen, closed_shape, field_of, look_at_object
from instascene_ros.models.shape_fit import explains, fit_shape


class GeometricPrior:
    """A solid in an object-aligned grid, rendered from the cameras asked for."""

    name = "geometric"
    exact = True

    def __init__(self, config: CompletionConfig) -> None:
        self._config = config

    def __call__(
        self, observation: ObjectObservation, cameras: Sequence[PosedCamera], seed: int, report: Report = silent
    ) -> list[GeneratedView]:
        """See `Prior`."""
        seen = look_at_object(observation, self._config)
        mesh = self.solid(observation, seen, seed)
        _, nearest = cKDTree(seen.points_m).query(mesh.vertices_m)
        colors = seen.colors[nearest]
        caster = RayCaster(mesh)
        views = []
        for camera, T_world_camera in cameras:
            depth_m, vertex = caster.look(camera, T_world_camera)
            rgb = np.where((vertex >= 0)[..., None], colors[np.maximum(vertex, 0)], 0).astype(np.uint8)
            views.append(GeneratedView(camera, T_world_camera, rgb, depth_m, (vertex >= 0).astype(np.float32)))
        return views

    def solid(self, observation: ObjectObservation, seen: Seen, seed: int) -> Mesh:
        """The whole object as a closed mesh."""
        fit = fit_shape(seen, observation.up, np.random.default_rng(seed))
        if explains(fit):
            inside = (fit.shape.distance_m(seen.grid.centers_m()) < 0).reshape(seen.grid.shape)
            filled = inside & ~seen.evidence.free & ~seen.evidence.taken
        else:
            filled = closed_shape(seen, observation)
        field = field_of(seen, filled, observation)
        return meshing.mesh_of_field(seen.grid, solid.seen_parts(field, seen.evidence))

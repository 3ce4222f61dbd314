"""Whole objects from geometry alone: support contact and the smallest closure that observed free space allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.spatial import cKDTree

from instascene_ros.core import meshing, solid
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.protocols import Report, silent
from instascene_ros.core.views import PosedCamera
from instascene_ros.models.closure import Seen, closed_shape, field_of, field_of_solid, look_at_object
from instascene_ros.models.hollow import Container, container_of
from instascene_ros.models.shape_fit import explains, fit_shape
from instascene_ros.models.symmetric import with_symmetry
from instascene_ros.models.symmetry import SymmetrySearch
from instascene_ros.models.underside import above_underside


@dataclass(frozen=True)
class ColoredSolid:
    """A closed mesh with the colour of each vertex."""

    mesh: Mesh
    colors: UInt8[np.ndarray, "V 3"]

    @property
    def points_m(self) -> Float32[np.ndarray, "V 3"]:
        """World."""
        return self.mesh.vertices_m

    def views(self, cameras: Sequence[PosedCamera]) -> list[GeneratedView]:
        """What these cameras see of it."""
        caster, views = RayCaster(self.mesh), []
        for camera, T_world_camera in cameras:
            depth_m, vertex = caster.look(camera, T_world_camera)
            rgb = np.where((vertex >= 0)[..., None], self.colors[np.maximum(vertex, 0)], 0).astype(np.uint8)
            views.append(GeneratedView(camera, T_world_camera, rgb, depth_m, (vertex >= 0).astype(np.float32)))
        return views


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
        return self.guess(observation, seed).views(cameras)

    def guess(self, observation: ObjectObservation, seed: int) -> ColoredSolid:
        """See `Guesser`."""
        seen = look_at_object(observation, self._config)
        mesh = self.solid(observation, seen, seed)
        _, nearest = cKDTree(seen.points_m).query(mesh.vertices_m)
        return ColoredSolid(mesh, seen.colors[nearest])

    def solid(self, observation: ObjectObservation, seen: Seen, seed: int) -> Mesh:
        """The whole object as a closed mesh."""
        seen, guess_m = self._guess(observation, seen, seed)
        field = field_of(seen, guess_m, observation)
        return meshing.mesh_of_field(seen.grid, solid.seen_parts(field, seen.evidence))

    def _guess(
        self, observation: ObjectObservation, seen: Seen, seed: int
    ) -> tuple[Seen, Float32[np.ndarray, "X Y Z"]]:
        """What was seen, perhaps with more by symmetry, and a signed field (m, negative inside) for the rest."""
        fit = fit_shape(seen, observation.up, np.random.default_rng(seed))
        centers_m, shape = seen.grid.centers_m(), seen.grid.shape
        if explains(fit):
            along_rays_m = fit.shape.distance_m(centers_m).reshape(shape)
            slope = np.linalg.norm(np.gradient(along_rays_m, seen.grid.voxel_m), axis=0)
            guess_m = (along_rays_m / np.maximum(slope, 0.5)).astype(np.float32)
            return seen, _hollowed(seen, guess_m, container_of(seen, observation.up))
        for symmetry in SymmetrySearch(seen, observation.up).best()[:1]:
            seen = with_symmetry(seen, symmetry)
        container, closed = container_of(seen, observation.up), closed_shape(seen, observation)
        if container is None:  # under the rim of a container is its inside, and under what lies in it is its floor
            closed &= above_underside(seen, closed, observation.up) & ~seen.evidence.filled
        return seen, _hollowed(seen, field_of_solid(closed, seen.grid.voxel_m), container)


def _hollowed(
    seen: Seen, guess_m: Float32[np.ndarray, "X Y Z"], container: Container | None
) -> Float32[np.ndarray, "X Y Z"]:
    """The guess, of which only the wall is left where it holds things."""
    return guess_m if container is None else np.maximum(guess_m, container.wall_m(seen, guess_m))

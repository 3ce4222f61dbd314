"""Depth for views that have none: of the solid that their silhouettes and the robot's evidence leave over."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from instascene_ros.core import meshing, solid
from instascene_ros.core.config import CompletionConfig
from instascene_ros.core.free_space import gather_evidence
from instascene_ros.core.meshing import RayCaster
from instascene_ros.core.object_sphere import ObjectSphere
from instascene_ros.core.objects import GeneratedView, ObjectObservation
from instascene_ros.core.upright_box import upright_axes
from instascene_ros.core.volume import VoxelGrid


def with_hull_depth(
    views: Sequence[GeneratedView], sphere: ObjectSphere, observation: ObjectObservation, config: CompletionConfig
) -> list[GeneratedView]:
    """The views with the depth of the visual hull, cut by observed free space and observed surface.

    It cannot be hollow where no camera of the robot looked in: colour alone says nothing about that.
    """
    ends_m = sphere.center_m + sphere.radius_m * np.concatenate([np.eye(3), -np.eye(3)])
    axes = upright_axes(ends_m, observation.up)
    grid = VoxelGrid.around(ends_m, axes, 0.0, config.max_voxels, config.min_voxel_m)
    silhouettes = [replace(view, depth_m=np.zeros_like(view.depth_m)) for view in views]  # there, but how far?
    evidence = gather_evidence(grid, observation.views, config.depth_noise_m)
    field = solid.fuse(evidence, solid.solid_of_views(grid, silhouettes))
    mesh = meshing.mesh_of_field(grid, solid.seen_parts(field, evidence))
    if len(mesh.faces) == 0:
        return silhouettes
    caster = RayCaster(mesh)
    looks = [caster.look(view.camera, view.T_world_camera)[0] for view in views]
    return [replace(v, depth_m=np.where(v.alpha > 0.5, z, 0)) for v, z in zip(views, looks, strict=True)]

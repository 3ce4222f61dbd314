"""Object observations of synthetic scenes, built from true masks: what completion would get from a perfect map."""

import numpy as np
import torch

from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import normals_of_depth, points_of_depth, quats_from_normals, transform
from instascene_ros.core.meshing import Mesh, RayCaster
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, ObjectObservation, ObjectView
from tests.scenes import SyntheticScene

UP = np.array([0.0, 0.0, 1.0])


def observation_of(scene: SyntheticScene, instance_id: int) -> ObjectObservation:
    """Object `instance_id` of the scene as every frame shows it."""
    ids = [(f, i == instance_id) for f, i in zip(scene.frames, scene.instances, strict=True)]
    own = surfels([(frame, mask) for frame, mask in ids])
    context = surfels([(frame, ~mask) for frame, mask in ids])
    low, high = own.means_m.min(0).values - 0.1, own.means_m.max(0).values + 0.1
    context = context.select(((context.means_m > low) & (context.means_m < high)).all(-1))
    true = scene.objects[instance_id]
    alone = RayCaster(Mesh(true.vertices_m.astype(np.float32), true.faces.astype(np.int32)))
    views = tuple(_view(alone, frame, mask) for frame, mask in ids if mask.sum() >= 20)
    return ObjectObservation("map", instance_id, 3, own, context, views, UP)


def surfels(parts: list[tuple[Frame, np.ndarray]]) -> GaussianMap:
    """A surfel for every pixel of the masks that has a normal."""
    points, normals, colors = [], [], []
    for frame, mask in parts:
        of_pixel = normals_of_depth(frame.depth_m, frame.camera, radius_px=1)
        chosen = mask & (np.abs(of_pixel).sum(-1) > 0)
        points.append(transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera)[chosen]))
        normals.append(of_pixel[chosen] @ frame.T_world_camera[:3, :3].T)
        colors.append(frame.rgb[chosen] / 255)
    means, directions, rgb = (torch.from_numpy(np.concatenate(c).astype(np.float32)) for c in (points, normals, colors))
    scales = torch.full((len(means), 2), 0.002)
    return GaussianMap.from_surfels(means, quats_from_normals(directions), scales, torch.full((len(means),), 0.95), rgb)


def _view(alone: RayCaster, frame: Frame, mask: np.ndarray) -> ObjectView:
    depth_alone = alone.look(frame.camera, frame.T_world_camera)[0]
    image = np.where(mask, MASK_OBJECT, 0).astype(np.uint8)
    image[~mask & (depth_alone > 0)] = MASK_OCCLUDED
    return ObjectView(frame.camera, frame.rgb, frame.depth_m, image, frame.T_world_camera)

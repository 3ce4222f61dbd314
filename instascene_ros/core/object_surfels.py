"""Surfels of one object alone: its own from the map, and new ones on a first guess at what no view showed."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import quats_from_normals
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.objects import MASK_OBJECT, MASK_OTHER, GeneratedView, ObjectObservation, ObjectView
from instascene_ros.core.possible_space import PossibleSpace
from instascene_ros.core.seen_points import SeenPoints, seen_points

SPACINGS = 40  # new surfels in the radius of the object
FULL_COVERAGE = 0.8  # standard deviation of a surfel per spacing: what is behind must not shine through
OPACITY = 0.9
NEW_SPACINGS = 0.75  # a point of the guess nearer than this to the object's own surfels is not new
LOST_SPACINGS = 2.0  # a generated point further than this from all of them was lost: generated views are not exact


def object_surfels(
    observation: ObjectObservation,
    generated: Sequence[GeneratedView],
    guess: Mesh,
    colors: UInt8[np.ndarray, "V 3"],
    space: PossibleSpace,
) -> GaussianMap:
    """On the host, without votes. Every surfel's z axis points out of the object.

    The object's own surfels are kept where the evidence allows them; their outside is the side that was seen. The
    guess, a closed surface, adds what they lack, and the generated views what the guess has lost of them.
    """
    spacing_m = max(space.sphere.radius_m / SPACINGS, 1e-4)
    surfels = _outward(observation.surfels, seen_points(observation.views, spacing_m))
    surfels = surfels.select(torch.from_numpy(space.holds(surfels.means_m.numpy())))
    lifted = SeenPoints(_above(guess, space, observation.up), guess.vertex_normals(), colors)
    _add(surfels, _thinned(lifted, spacing_m), NEW_SPACINGS, spacing_m, space)
    lost = seen_points([_as_observed(view) for view in generated], spacing_m)
    _add(surfels, lost, LOST_SPACINGS, spacing_m, space)
    return surfels


def _add(
    surfels: GaussianMap, points: SeenPoints, min_spacings: float, spacing_m: float, space: PossibleSpace
) -> None:
    """Surfels at the possible points that are as far as that from all that are there."""
    new = space.holds(points.points_m)
    if len(surfels) and len(points):
        there = cKDTree(_placed(surfels.means_m.numpy(), surfels.normals.numpy(), spacing_m))
        new &= there.query(_placed(points.points_m, points.normals, spacing_m))[0] > min_spacings
    surfels.append(_surfels(points.points_m[new], points.normals[new], points.colors[new], spacing_m))


def _as_observed(view: GeneratedView) -> ObjectView:
    mask = np.where((view.alpha > 0.5) & (view.depth_m > 0), MASK_OBJECT, MASK_OTHER).astype(np.uint8)
    return ObjectView(view.camera, view.rgb, view.depth_m, mask, view.T_world_camera)


def _thinned(points: SeenPoints, spacing_m: float) -> SeenPoints:
    """One point a cell and side."""
    axis = np.abs(points.normals).argmax(-1)
    side = axis + 3 * (points.normals[np.arange(len(points)), axis] < 0)
    cells = np.concatenate([np.floor(points.points_m / spacing_m), side[:, None]], axis=1).astype(np.int64)
    _, rows = np.unique(cells, axis=0, return_index=True)
    return SeenPoints(points.points_m[rows], points.normals[rows], points.colors[rows])


def _placed(
    points_m: Float32[np.ndarray, "P 3"], normals: Float32[np.ndarray, "P 3"], spacing_m: float
) -> Float32[np.ndarray, "P 6"]:
    """Place and direction, in spacings: the two sides of a thin wall are far apart."""
    return np.concatenate([points_m / spacing_m, normals], axis=1)


def faces(surfels: GaussianMap, T_world_camera: Float64[np.ndarray, "4 4"]) -> Bool[Tensor, " N"]:
    """Which surfels show the camera their outside. The others only shine through what covers them thinly."""
    eye_m = torch.from_numpy(T_world_camera[:3, 3].astype(np.float32)).to(surfels.device)
    return ((eye_m - surfels.means_m.detach()) * surfels.normals.detach()).sum(-1) > 0


def _above(guess: Mesh, space: PossibleSpace, up: Float64[np.ndarray, " 3"]) -> Float32[np.ndarray, "V 3"]:
    """Its vertices; those below the support, which no view shows, are lifted onto it."""
    if space.floor_m is None:
        return guess.vertices_m
    sunk_m = np.maximum(space.floor_m - guess.vertices_m @ up, 0)
    return (guess.vertices_m + sunk_m[:, None] * up).astype(np.float32)


def _outward(surfels: GaussianMap, seen: SeenPoints) -> GaussianMap:
    """A copy whose z axes agree with the normals of the nearest seen points, which face the cameras."""
    copy = GaussianMap.from_surfels(
        surfels.means_m.detach().cpu().clone(), surfels.quats_wxyz.detach().cpu().clone(),
        surfels.scales_m.detach().cpu(), surfels.opacities.detach().cpu(), surfels.colors.detach().cpu().clone(),
    )  # fmt: skip
    if len(copy) and len(seen):
        _, nearest = cKDTree(seen.points_m).query(copy.means_m.numpy())
        inward = (copy.normals * torch.from_numpy(seen.normals[nearest])).sum(-1) < 0
        w, x, y, z = copy.quats_wxyz[inward].unbind(-1)
        copy.quats_wxyz[inward] = torch.stack([-x, w, z, -y], dim=-1)  # half a turn about the surfel's own x axis
    return copy


def _surfels(
    points_m: Float32[np.ndarray, "P 3"],
    normals: Float32[np.ndarray, "P 3"],
    colors: UInt8[np.ndarray, "P 3"],
    spacing_m: float,
) -> GaussianMap:
    scales_m = torch.full((len(points_m), 2), FULL_COVERAGE * spacing_m)
    return GaussianMap.from_surfels(
        torch.from_numpy(points_m), quats_from_normals(torch.from_numpy(normals)), scales_m,
        torch.full((len(points_m),), OPACITY), torch.from_numpy((colors / 255).astype(np.float32)),
    )  # fmt: skip

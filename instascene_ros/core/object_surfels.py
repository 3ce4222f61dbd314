"""Surfels of one object alone: its own from the map, and new ones on a first guess at what no view showed."""

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from scipy.spatial import cKDTree
from torch import Tensor

from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import quats_from_normals
from instascene_ros.core.meshing import Mesh
from instascene_ros.core.possible_space import PossibleSpace

SPACINGS = 40  # new surfels in the radius of the object
FULL_COVERAGE = 0.8  # standard deviation of a surfel per spacing: what is behind must not shine through
OPACITY = 0.9
NEW_SPACINGS = 0.75  # a point of the guess nearer than this to the object's own surfels is not new


def object_surfels(
    own: GaussianMap, guess: Mesh, colors: UInt8[np.ndarray, "V 3"], space: PossibleSpace, up: Float64[np.ndarray, " 3"]
) -> GaussianMap:
    """On the host, without votes. Every surfel's z axis points out of the guess, a closed surface.

    The object's own surfels are kept where the evidence allows them. What the guess has below the support, which no
    view shows, is lifted onto it.
    """
    points_m, normals = _above(guess, space, up), guess.vertex_normals()
    spacing_m = max(space.sphere.radius_m / SPACINGS, 1e-4)
    _, rows = np.unique(np.floor(points_m / spacing_m).astype(np.int64), axis=0, return_index=True)
    points_m, normals, colors = points_m[rows], normals[rows], colors[rows]
    kept = _outward(own, points_m, normals)
    kept = kept.select(torch.from_numpy(space.holds(kept.means_m.numpy())))
    new = space.holds(points_m)
    if len(kept):
        new &= cKDTree(kept.means_m.numpy()).query(points_m)[0] > NEW_SPACINGS * spacing_m
    kept.append(_surfels(points_m[new], normals[new], colors[new], spacing_m))
    return kept


def faces(surfels: GaussianMap, T_world_camera: Float64[np.ndarray, "4 4"]) -> Bool[Tensor, " N"]:
    """Which surfels show the camera their outside. The others only shine through what covers them thinly."""
    eye_m = torch.from_numpy(T_world_camera[:3, 3].astype(np.float32)).to(surfels.device)
    return ((eye_m - surfels.means_m.detach()) * surfels.normals.detach()).sum(-1) > 0


def _above(guess: Mesh, space: PossibleSpace, up: Float64[np.ndarray, " 3"]) -> Float32[np.ndarray, "V 3"]:
    if space.floor_m is None:
        return guess.vertices_m
    sunk_m = np.maximum(space.floor_m - guess.vertices_m @ up, 0)
    return (guess.vertices_m + sunk_m[:, None] * up).astype(np.float32)


def _outward(
    surfels: GaussianMap, points_m: Float32[np.ndarray, "P 3"], normals: Float32[np.ndarray, "P 3"]
) -> GaussianMap:
    """A copy whose z axes agree with the normals of the nearest points."""
    copy = GaussianMap.from_surfels(
        surfels.means_m.detach().cpu().clone(), surfels.quats_wxyz.detach().cpu().clone(),
        surfels.scales_m.detach().cpu(), surfels.opacities.detach().cpu(), surfels.colors.detach().cpu().clone(),
    )  # fmt: skip
    if len(copy) and len(points_m):
        _, nearest = cKDTree(points_m).query(copy.means_m.numpy())
        inward = (copy.normals * torch.from_numpy(normals[nearest])).sum(-1) < 0
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

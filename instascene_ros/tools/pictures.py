"""Pictures of the map and of single objects, for the report."""

import base64
import io
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int32, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import Tensor

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.instances import InstanceState, color_of_id
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.tools.mesh_picture import PaintedMesh, picture_of_mesh
from instascene_ros.tools.views import MIN_TRACE_WEIGHT, ids_of, image_of

WIDTH_PX, TILE_PX = 640, 260
TINT = 0.6  # share of the id's colour over the render
NUM_COMPONENTS = 3  # of the features, as colours
LABEL_MIN_PX = 40  # an id that covers fewer pixels gets no number


@dataclass(frozen=True)
class ScenePictures:
    """One moment again and again: what came in, and what is known."""

    color: UInt8[np.ndarray, "H W 3"]
    render: UInt8[np.ndarray, "H W 3"]
    normals: UInt8[np.ndarray, "H W 3"]
    instances: UInt8[np.ndarray, "H W 3"]
    features: UInt8[np.ndarray, "H W 3"] | None  # of a map that was refined


def scene_pictures(saved: SavedMap, frame: Frame, rasterizer: Rasterizer) -> ScenePictures:
    """The map from where `frame` was taken."""
    frame = frame.resized(WIDTH_PX)
    rendering = render(rasterizer, saved.gaussians, frame.camera, frame.T_world_camera, MIN_TRACE_WEIGHT)
    rgb = image_of(rendering.rgb)
    facing = rendering.normal * rendering.normal.new_tensor([1.0, -1.0, -1.0])  # x right, y up, z to us
    normals = image_of((facing * 0.5 + 0.5) * rendering.alpha[..., None])
    assert rendering.trace is not None
    ids = ids_of(rendering.trace, saved.labels, frame.camera)
    confirmed = saved.instances.ids[saved.instances.states == InstanceState.CONFIRMED]
    instances = overlaid(rgb, np.where(np.isin(ids, confirmed), ids, 0))
    features = None
    if saved.gaussians.features is not None:
        shown = replace(saved.gaussians, colors=feature_colors(saved.gaussians.features, saved.labels))
        features = image_of(render(rasterizer, shown, frame.camera, frame.T_world_camera, MIN_TRACE_WEIGHT).rgb)
    return ScenePictures(frame.rgb, rgb, normals, instances, features)


def feature_colors(features: Float32[Tensor, "N 16"], labels: Int32[np.ndarray, " N"]) -> Float32[Tensor, "N 3"]:
    """Three principal components of the features as red, green and blue; grey where there are none.

    They are components of the labels' means: those of all features would tell the table from the floor and no more.
    """
    known = features.norm(dim=1) > 0
    labels = np.where(known.cpu().numpy(), labels, -1)
    shown = np.unique(labels[labels >= 0]).tolist()
    if len(shown) <= NUM_COMPONENTS:
        return torch.full((len(features), 3), 0.5, device=features.device)
    means = torch.stack([features[torch.from_numpy(labels == i).to(features.device)].mean(dim=0) for i in shown])
    middle = means.mean(dim=0)
    axes = torch.linalg.eigh((means - middle).T @ (means - middle))[1][:, -NUM_COMPONENTS:].flip(1)
    along, ends = (features - middle) @ axes, (means - middle) @ axes
    low, high = ends.amin(dim=0), ends.amax(dim=0)
    colors = ((along - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
    return torch.where(known[:, None], colors, 0.5)


def overlaid(rgb: UInt8[np.ndarray, "H W 3"], ids: Int32[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Instances in their colours over a darkened picture, with outlines and numbers."""
    grey = rgb.mean(axis=-1, keepdims=True) * 0.55
    picture = np.repeat(grey, 3, axis=-1)
    shown = [int(i) for i in np.unique(ids) if i > 0]
    for instance_id in shown:
        where = ids == instance_id
        picture[where] = (1 - TINT) * rgb[where] + TINT * np.array(color_of_id(instance_id))
    edge = ndimage.maximum_filter(ids, 3) != ndimage.minimum_filter(ids, 3)
    picture[edge] = 0.35 * picture[edge] + 0.65 * 255
    image = Image.fromarray(picture.astype(np.uint8))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(max(12, ids.shape[1] // 30))
    outline = {"stroke_width": max(2, ids.shape[1] // 200), "stroke_fill": (0, 0, 0)}
    for instance_id in shown:
        where = ids == instance_id
        if where.sum() >= LABEL_MIN_PX:
            draw.text(_middle(where), str(instance_id), (255, 255, 255), font, "mm", **outline)
    return np.asarray(image)


def _middle(where: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """(u, v) of the pixel deepest inside a region, which a centroid need not be."""
    padded = np.pad(where, 1)
    v, u = np.unravel_index(int(ndimage.distance_transform_edt(padded).argmax()), padded.shape)
    return float(u) - 1, float(v) - 1


def object_pictures(
    saved: SavedMap, instance_id: int, mesh: PaintedMesh, up: Float64[np.ndarray, " 3"], rasterizer: Rasterizer
) -> tuple[UInt8[np.ndarray, "H W 4"], UInt8[np.ndarray, "H W 4"]]:
    """Strips of the seen surfels and of the completed mesh, each from the seen side, from behind and from above."""
    own = saved.gaussians.select(torch.from_numpy(saved.labels == instance_id).to(saved.gaussians.device))
    before, after = [], []
    for camera, T_world_camera in viewpoints(mesh, up):
        rendering = render(rasterizer, own, camera, T_world_camera)
        alpha = rendering.alpha.detach().clamp(0, 1)
        straight = image_of(rendering.rgb / alpha.clamp(min=1e-3)[..., None])
        before.append(np.dstack([straight, (alpha.cpu().numpy() * 255).astype(np.uint8)]))
        double = camera.scaled_to_width(2 * camera.width)  # drawn twice as large and averaged: smooth edges
        large = Image.fromarray(picture_of_mesh(mesh, double, T_world_camera))
        after.append(np.asarray(large.resize((camera.width, camera.height), Image.Resampling.BOX)))
    return np.concatenate(before, axis=1), np.concatenate(after, axis=1)


def viewpoints(mesh: PaintedMesh, up: Float64[np.ndarray, " 3"]) -> list[tuple[Camera, Float64[np.ndarray, "4 4"]]]:
    """From the side that was seen, from behind, and from above, with the object filling the picture."""
    middle = (mesh.vertices_m.min(axis=0) + mesh.vertices_m.max(axis=0)).astype(np.float64) / 2
    radius = float(np.linalg.norm(mesh.vertices_m - middle, axis=-1).max())
    normals = mesh.normals()[mesh.observed].astype(np.float64)
    toward = normals.sum(axis=0) if len(normals) else np.zeros(3)
    toward -= up * (toward @ up)
    if np.linalg.norm(toward) < 1e-6:  # seen evenly from all sides: any side will do
        toward = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    toward /= np.linalg.norm(toward)
    focal = 2.6 * TILE_PX  # narrow, so that sizes can be compared across the object
    camera = Camera(focal, focal, (TILE_PX - 1) / 2, (TILE_PX - 1) / 2, TILE_PX, TILE_PX)
    distance = radius * focal / (0.42 * TILE_PX)  # some room: the outermost surfels reach beyond the mesh
    sides = [toward + 0.45 * up, -toward + 0.45 * up, 0.35 * toward + up]
    return [(camera, _looking_at(middle, distance * side / np.linalg.norm(side), up)) for side in sides]


def _looking_at(
    target: Float64[np.ndarray, " 3"], offset: Float64[np.ndarray, " 3"], up: Float64[np.ndarray, " 3"]
) -> Float64[np.ndarray, "4 4"]:
    z = -offset / np.linalg.norm(offset)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = np.stack([x, np.cross(z, x), z], axis=-1)
    T_world_camera[:3, 3] = target + offset
    return T_world_camera


def data_uri(pixels: UInt8[np.ndarray, "H W C"]) -> str:
    """The picture as text for an `img` of a page that stands alone."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()

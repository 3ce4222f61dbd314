"""The map seen from given cameras: colour and instance ids as images."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int32, UInt8, UInt16
from PIL import Image
from torch import Tensor

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.recording import Recording, SceneFolder, read_image, read_trajectory
from instascene_ros.core.rendering.contract import Rasterizer, Trace
from instascene_ros.core.rendering.render import render
from instascene_ros.core.selection import id_buffer
from instascene_ros.tools.progress import Stage

MIN_TRACE_WEIGHT = 0.01  # lighter contributions do not decide which instance a pixel shows


def test_views(recording: Recording) -> tuple[Camera, Float64[np.ndarray, "V 4 4"]]:
    """Camera and camera-to-world poses of a scene's test views, at the size of their images.

    Raises:
        InvalidSceneError: the scene has none.
    """
    folder = recording.path / "test" if isinstance(recording, SceneFolder) else None
    if folder is None or not (folder / "trajectory.txt").exists():
        raise InvalidSceneError(f"{recording.name} has no test views (test/trajectory.txt); leave --views out")
    _, poses = read_trajectory(folder / "trajectory.txt")
    images = sorted((folder / "color").glob("*"))
    width = read_image(images[0]).shape[1] if images else recording.camera.width
    return recording.camera.scaled_to_width(width), poses


test_views.__test__ = False  # type: ignore[attr-defined]  # a name that pytest would collect


def write_views(out: Path, recording: Recording, saved: SavedMap, rasterizer: Rasterizer, stage: Stage) -> None:
    """`views/color/%06d.png` and `views/instances/%06d.png` (16 bit ids, 0 = none)."""
    camera, poses = test_views(recording)
    for index in stage.over(range(len(poses))):
        rgb, ids = view(saved, camera, poses[index], rasterizer)
        _write_png(out / "views" / "color" / f"{index:06d}.png", rgb)
        _write_png(out / "views" / "instances" / f"{index:06d}.png", ids.astype(np.uint16))


def view(
    saved: SavedMap, camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"], rasterizer: Rasterizer
) -> tuple[UInt8[np.ndarray, "H W 3"], Int32[np.ndarray, "H W"]]:
    """Colour and instance id of every pixel."""
    rendering = render(rasterizer, saved.gaussians, camera, T_world_camera, MIN_TRACE_WEIGHT)
    if rendering.trace is None:
        raise RuntimeError(f"rasterizer {rasterizer.name} returned no trace although it was asked for one")
    return image_of(rendering.rgb), ids_of(rendering.trace, saved.labels, camera)


def image_of(rgb: Tensor) -> UInt8[np.ndarray, "H W 3"]:
    return (rgb.detach().clamp(0, 1).cpu().numpy() * 255 + 0.5).astype(np.uint8)


def ids_of(trace: Trace, labels: Int32[np.ndarray, " N"], camera: Camera) -> Int32[np.ndarray, "H W"]:
    """The instance with the largest summed blend weight in every pixel; 0 where that is none or the cover is thin."""
    on_device = torch.from_numpy(labels).to(trace.gaussians.device)
    return id_buffer(trace, on_device, camera.height, camera.width).ids.cpu().numpy()


def _write_png(path: Path, pixels: UInt8[np.ndarray, "H W 3"] | UInt16[np.ndarray, "H W"]) -> None:
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary)

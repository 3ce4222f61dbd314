"""Small synthetic scenes with known answers, for tests: objects placed by hand on the table, ray-cast, no physics."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from instascene_ros.core.camera import Camera
from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.tools.scene_generator import light, shapes, surfaces, textures
from instascene_ros.tools.scene_generator.meshes import Mesh
from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.render import Renderer, to_bytes
from instascene_ros.tools.scene_generator.sensor import noisy_depth
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.surfaces import Model, Placed, Surface
from instascene_ros.tools.scene_generator.trajectory import orbit

PALETTE = [(0.85, 0.2, 0.15), (0.15, 0.35, 0.8), (0.95, 0.8, 0.1), (0.1, 0.6, 0.3), (0.6, 0.2, 0.7), (0.95, 0.5, 0.1)]
FRAME_NS = 100_000_000


@dataclass(frozen=True)
class SyntheticScene:
    """Frames and the truth about them. Object k of the list given to `tabletop` has id k + 1."""

    camera: Camera
    frames: tuple[Frame, ...]  # masks: objects, and the table where it is one; labels differ from the ids
    instances: tuple[Int32[np.ndarray, "H W"], ...]  # object id of every pixel, 0 = table or nothing
    true_depth_m: tuple[np.ndarray, ...]  # [H W] float32 without noise, 0 = nothing
    objects: dict[int, Mesh]  # id -> watertight mesh in the world frame


def camera_of_width(width: int) -> Camera:
    """A 4:3 camera with the field of view of the recorded scenes."""
    height = width * 3 // 4
    focal = 525.0 * width / 640
    return Camera(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def place(shape: Shape, x_m: float = 0.0, y_m: float = 0.0, yaw_deg: float = 0.0, z_m: float = 0.0) -> Placed:
    """The shape standing on the table (or at height z) in a plain colour that depends on its name and place."""
    yaw = np.radians(yaw_deg)
    T_world_object = np.eye(4)
    T_world_object[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T_world_object[:3, 3] = [x_m, y_m, z_m]
    colour = PALETTE[sum(map(ord, f"{shape.name}{x_m:.3f}{y_m:.3f}")) % len(PALETTE)]
    return Placed(Model(shape.name, shape, textures.Plain(colour)), T_world_object)


def three_objects() -> list[Placed]:
    """A box, a can and a mug that do not touch."""
    return [
        place(shapes.box((0.10, 0.06, 0.12)), -0.10, 0.0, 20),
        place(shapes.can(0.033, 0.11), 0.03, 0.09),
        place(shapes.mug(0.04, 0.09), 0.08, -0.07, -60),
    ]


def tabletop(
    objects: Sequence[Placed],
    num_frames: int = 8,
    width: int = 160,
    noise_seed: int | None = None,
    poses: Float64[np.ndarray, "F 4 4"] | None = None,
    with_table: bool = True,
) -> SyntheticScene:
    """Frames of an orbit (270 degrees, 40 degrees up, 0.7 m) or of `poses`, with perfect masks.

    Depth is exact, or noisy like the recorded scenes' with `noise_seed`. Without a table the background is empty.
    """
    camera = camera_of_width(width)
    poses = orbit(num_frames) if poses is None else poses
    seen = [Surface.of(o) for o in objects] + ([surfaces.table()] if with_table else [])
    caster = RayCaster([s.mesh for s in seen])
    renderer = Renderer(seen, caster, [light.unshadowed(s) for s in seen])
    rng = np.random.default_rng(noise_seed)
    frames, instances, depths = [], [], []
    for index, pose in enumerate(poses):
        view = renderer.view(camera, pose)
        depth_m = view.depth_m if noise_seed is None else noisy_depth(view, camera, rng)
        entities = view.surface + 1  # objects 1..n, then the table
        # Labels start at another entity in every frame, as those of a segmenter would.
        shuffled = np.where(entities > 0, (entities + index) % len(seen) + 1, 0)
        rgb = to_bytes(renderer.colour(camera, pose, supersample=1))
        frames.append(Frame((index + 1) * FRAME_NS, camera, rgb, depth_m, pose, Masks.from_image(shuffled)))
        instances.append(np.where(entities <= len(objects), entities, 0).astype(np.int32))
        depths.append(view.depth_m)
    meshes = {k + 1: o.mesh for k, o in enumerate(objects)}
    return SyntheticScene(camera, tuple(frames), tuple(instances), tuple(depths), meshes)

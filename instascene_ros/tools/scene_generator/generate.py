"""Makes one scene folder from a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from instascene_ros.core.camera import Camera
from instascene_ros.tools.scene_generator import ground_truth, light, surfaces, textures, write
from instascene_ros.tools.scene_generator.catalogue import random_models
from instascene_ros.tools.scene_generator.ground_truth import Cameras
from instascene_ros.tools.scene_generator.mask_noise import MaskErrors, shuffled
from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.render import Renderer, to_bytes
from instascene_ros.tools.scene_generator.sensor import noisy_colour, noisy_depth
from instascene_ros.tools.scene_generator.settle import settle
from instascene_ros.tools.scene_generator.surfaces import Placed, Surface
from instascene_ros.tools.scene_generator.trajectory import handheld, novel_views

SPAN_DEG = 270.0
UNSEEN_SHARE = 0.4  # of the test views, in the sector that the training camera never visits
TABLE_STEP_M = 0.007  # the table's triangles carry the shadows
Progress = Callable[[str, float], None]

WORLD = (
    "metres, z up, origin at table top centre; table top is z=0, 1.2 (x) x 0.9 (y) x 0.03 m; floor at z=-0.72; "
    "room walls at x,y=+-2.6"
)


@dataclass(frozen=True)
class SceneOptions:
    """What to make; the same options give the same arrangement, poses and masks."""

    seed: int = 0
    objects: int = 10
    frames: int = 60
    test_views: int = 8
    width_px: int = 320
    frame_rate_hz: float = 7.5
    supersample: int = 2
    shadows: bool = True  # soft shadows and occlusion; without them a scene is made sooner
    jpeg_quality: int = 92
    points_per_object: int = 5000
    reference_points: int = 20000

    @property
    def camera(self) -> Camera:
        """4:3, the field of view of a structured-light camera."""
        focal = 525.0 * self.width_px / 640
        height = self.width_px * 3 // 4
        return Camera(focal, focal, (self.width_px - 1) / 2, (height - 1) / 2, self.width_px, height)

    def rng(self, purpose: int) -> np.random.Generator:
        """One stream per purpose, so that e.g. more frames do not change the arrangement of the objects."""
        return np.random.default_rng([self.seed, purpose])


@dataclass(frozen=True)
class _Stage:
    """A settled scene, ready to be pictured."""

    objects: list[Placed]
    caster: RayCaster
    renderer: Renderer
    Ts_world_camera: Float64[np.ndarray, "F 4 4"]
    Ts_world_test: Float64[np.ndarray, "V 4 4"]
    start_deg: float


def generate(options: SceneOptions, out: Path, progress: Progress = lambda stage, fraction: None) -> None:
    """Settle, picture and write one scene.

    Raises:
        InvalidSceneError: the objects do not come to rest inside their area.
        BackendUnavailableError: mujoco is not installed.
    """
    progress("settle", 0.0)
    stage = _build(options, progress)
    pixels, rates = _write_frames(options, stage, out, progress)
    _write_tests(options, stage, out, progress)
    progress("truth", 0.0)
    rows = _write_truth(options, stage, pixels, out)
    write.write_trajectory(out / "trajectory.txt", stage.Ts_world_camera, options.frame_rate_hz)
    write.write_json(out / "scene.json", _meta(options, stage, rates, rows, out.resolve().name))
    progress("done", 1.0)


def _build(options: SceneOptions, progress: Progress) -> _Stage:
    rng = options.rng(1)
    models = random_models(options.objects, options.rng(0))
    objects = settle(models, 0.08 + 0.011 * options.objects, rng)
    progress("light", 0.0)
    seen = [Surface.of(o) for o in objects] + _room(options.rng(2), TABLE_STEP_M if options.shadows else 0.05)
    caster = RayCaster([s.mesh for s in seen])
    lit = light.baked(seen, caster) if options.shadows else [light.unshadowed(s) for s in seen]
    renderer = Renderer(seen, caster, lit)
    start_deg = float(options.rng(3).uniform(0, 360))
    training = handheld(options.frames, start_deg, SPAN_DEG, options.rng(4))
    unseen = round(options.test_views * UNSEEN_SHARE)
    tests = novel_views(options.test_views - unseen, unseen, start_deg, SPAN_DEG, options.rng(5))
    return _Stage(objects, caster, renderer, training, tests, start_deg)


def _room(rng: np.random.Generator, table_step_m: float) -> list[Surface]:
    """Table, floor and walls in colours of the scene's own."""
    woods = [((0.72, 0.54, 0.37), (0.46, 0.29, 0.17)), ((0.80, 0.69, 0.54), (0.62, 0.48, 0.34))]
    woods += [((0.52, 0.36, 0.25), (0.30, 0.19, 0.13)), ((0.66, 0.62, 0.57), (0.45, 0.41, 0.37))]
    bright, dark = woods[int(rng.integers(len(woods)))]
    seed = int(rng.integers(1 << 16))
    grey = rng.uniform(0.45, 0.65)
    wall = tuple(float(x) for x in np.clip(0.72 + rng.uniform(-0.08, 0.08, 3), 0, 1))
    return [
        surfaces.table(textures.Wood(bright, dark, float(rng.uniform(0.10, 0.18)), seed), table_step_m),
        surfaces.floor(
            textures.Tiles((grey, grey, grey * 0.97), (grey * 0.7,) * 3, float(rng.uniform(0.3, 0.5)), seed)
        ),
        surfaces.walls(textures.Plain(wall, 0.04, 0.4, seed)),
    ]


def _write_frames(
    options: SceneOptions, stage: _Stage, out: Path, progress: Progress
) -> tuple[Int64[np.ndarray, "F K"], dict[str, float]]:
    """Training frames; returns every object's pixels in every frame and the realised mask errors."""
    count = len(stage.objects)
    errors, clean, sensor = MaskErrors(count, options.width_px, options.rng(6)), options.rng(7), options.rng(8)
    pixels = []
    for index, pose in enumerate(stage.Ts_world_camera):
        progress("frames", index / options.frames)
        name = f"{index:06d}"
        view = stage.renderer.view(options.camera, pose)
        colour = stage.renderer.colour(options.camera, pose, options.supersample)
        entities = view.surface + 1
        write.write_colour(out / f"color/{name}.jpg", to_bytes(noisy_colour(colour, sensor)), options.jpeg_quality)
        write.write_depth(out / f"depth/{name}.png", noisy_depth(view, options.camera, sensor))
        write.write_ids(out / f"masks/{name}.png", errors.frame(entities, colour))
        write.write_ids(out / f"masks_clean/{name}.png", shuffled(entities, clean))
        write.write_ids(out / f"instances/{name}.png", np.where(entities <= count, entities, 0))
        pixels.append(np.bincount(entities.ravel(), minlength=count + 1)[1 : count + 1])
    return np.stack(pixels), errors.rates


def _write_tests(options: SceneOptions, stage: _Stage, out: Path, progress: Progress) -> None:
    count = len(stage.objects)
    for index, pose in enumerate(stage.Ts_world_test):
        progress("test views", index / options.test_views)
        name = f"{index:06d}"
        view = stage.renderer.view(options.camera, pose)
        rgb = to_bytes(stage.renderer.colour(options.camera, pose, options.supersample))
        write.write_colour(out / f"test/color/{name}.jpg", rgb, max(options.jpeg_quality, 95))
        write.write_depth(out / f"test/depth/{name}.png", view.depth_m)
        write.write_ids(out / f"test/instances/{name}.png", np.where(view.surface < count, view.surface + 1, 0))
    write.write_trajectory(out / "test/trajectory.txt", stage.Ts_world_test, options.frame_rate_hz)


def _write_truth(
    options: SceneOptions, stage: _Stage, pixels: Int64[np.ndarray, "F K"], out: Path
) -> list[dict[str, object]]:
    """Meshes, surface points, reference points and `objects.json`; returns the rows of the last."""
    objects = [o.mesh for o in stage.objects]
    for index, mesh in enumerate(objects):
        write.write_mesh(out / f"objects/{index + 1}.ply", mesh)
    cameras = Cameras(options.camera, stage.Ts_world_camera)
    counts = [options.points_per_object] * len(objects)
    samples = ground_truth.surface_points(objects, counts, cameras, stage.caster, options.rng(9))
    np.savez_compressed(
        out / "gt_points.npz",
        points=samples.points_m.astype(np.float32),
        normals=np.round(samples.normals * 127).astype(np.int8),
        instance=samples.instance.astype(np.uint16),
        n_seen=np.minimum(samples.num_seen, 255).astype(np.uint8),
    )
    points = ground_truth.reference(objects, options.reference_points, cameras, stage.caster, options.rng(10))
    np.savez_compressed(out / "reference.npz", **points)
    names = [o.model.name for o in stage.objects]
    rows = ground_truth.describe(objects, names, samples, pixels, options.width_px)
    write.write_json(out / "objects.json", rows)
    return rows


def _meta(
    options: SceneOptions, stage: _Stage, rates: dict[str, float], rows: list[dict[str, object]], name: str
) -> dict[str, object]:
    camera = options.camera
    covered = options.test_views - round(options.test_views * UNSEEN_SHARE)
    poses = [np.round(o.T_world_object, 7).tolist() for o in stage.objects]
    return {
        "name": name,
        "split": "synthetic",
        "intrinsics": {k: getattr(camera, k) for k in ("width", "height", "fx", "fy", "cx", "cy")},
        "depth_scale": write.DEPTH_SCALE,
        "frame_rate": options.frame_rate_hz,
        "num_frames": options.frames,
        "num_test_views": options.test_views,
        "world_frame": WORLD,
        "camera_pose": "camera-to-world 4x4, optical frame x right, y down, z forward",
        "depth": "uint16 millimetres along the optical axis, 0 = missing",
        "objects": [{"id": r["id"], "model": r["model"], "pose": p} for r, p in zip(rows, poses, strict=True)],
        "seed": options.seed,
        "trajectory": {
            "start_azimuth_deg": stage.start_deg,
            "span_deg": SPAN_DEG,
            "unseen_sector_deg": [stage.start_deg + SPAN_DEG - 360, stage.start_deg],
        },
        "test_views": {
            "novel_in_covered_sector": list(range(covered)),
            "unseen_sector": list(range(covered, options.test_views)),
        },
        "mask_error_rates": rates,
        "mean_observed_fraction": round(float(np.mean([r["observed_fraction"] for r in rows])), 4),
    }

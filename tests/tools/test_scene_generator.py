"""The scene generator's shapes are closed, its pictures agree with its geometry, its files with its seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_erosion

from instascene_ros.core.geometry import inverse, points_of_depth, project, transform
from instascene_ros.core.recording import SceneFolder, read_image
from instascene_ros.tools.scene_generator import light, shapes, surfaces, textures
from instascene_ros.tools.scene_generator.generate import SceneOptions, generate
from instascene_ros.tools.scene_generator.ground_truth import Cameras, num_seen
from instascene_ros.tools.scene_generator.mask_noise import MaskErrors, shuffled
from instascene_ros.tools.scene_generator.meshes import Mesh
from instascene_ros.tools.scene_generator.raycast import RayCaster
from instascene_ros.tools.scene_generator.shapes import Shape
from instascene_ros.tools.scene_generator.trajectory import handheld, look_at, novel_views, orbit
from tests.scenes import camera_of_width, place, tabletop, three_objects

OPEN_SQUARE = np.array([[-0.05, -0.05, 0.0], [0.05, -0.05, 0.0], [0.05, 0.05, 0.0], [-0.05, 0.05, 0.0]])
SHAPES = [
    shapes.box((0.10, 0.06, 0.12)),
    shapes.can(0.033, 0.11),
    shapes.bottle(0.035, 0.22, 0.012),
    shapes.ball(0.035),
    shapes.bowl(0.08, 0.06),
    shapes.mug(0.04, 0.09),
    shapes.mug(0.045, 0.11),
    shapes.pan(0.09, 0.04, 0.15),
    shapes.hammer(0.24, 0.09),
    shapes.banana(0.18, 0.017),
    shapes.tape(0.05, 0.03, 0.025),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_shape_is_closed_and_looks_outward(shape: Shape) -> None:
    assert shape.mesh.is_watertight()
    assert shape.mesh.volume_m3 > 2e-5
    assert len(shape.mesh.faces) <= 5000
    assert shape.mesh.vertices_m[:, 2].min() == pytest.approx(0.0, abs=1e-3)


def test_volumes_of_known_shapes() -> None:
    assert shapes.box((0.1, 0.06, 0.12), bevel_m=0.001).mesh.volume_m3 == pytest.approx(0.1 * 0.06 * 0.12, rel=0.01)
    assert shapes.ball(0.035).mesh.volume_m3 == pytest.approx(4 / 3 * np.pi * 0.035**3, rel=0.02)
    tape = np.pi * (0.05**2 - 0.03**2) * 0.025
    assert shapes.tape(0.05, 0.03, 0.025).mesh.volume_m3 == pytest.approx(tape, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s.name)
def test_collision_hulls_cover_the_surface(shape: Shape) -> None:
    from scipy.spatial import ConvexHull

    points, _ = shape.mesh.sample(400, np.random.default_rng(0))
    outside = np.full(len(points), np.inf)
    for hull in shape.hulls:
        planes = ConvexHull(hull).equations
        outside = np.minimum(outside, (points @ planes[:, :3].T + planes[:, 3]).max(axis=1))
    assert np.quantile(outside, 0.98) < 0.004


def test_frames_agree_with_the_meshes() -> None:
    scene = tabletop(three_objects(), num_frames=3)
    for frame, instances in zip(scene.frames, scene.instances, strict=True):
        points = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera).astype(np.float64))
        assert set(np.unique(instances)) == {0, 1, 2, 3}
        for object_id, mesh in scene.objects.items():
            seen = points[instances == object_id]
            low, high = mesh.vertices_m.min(axis=0), mesh.vertices_m.max(axis=0)
            assert (seen > low - 1e-4).all() and (seen < high + 1e-4).all()
        table = (instances == 0) & (frame.depth_m > 0) & (np.abs(points[..., 2]) < 1e-4)
        assert table.sum() > 5000


def test_masks_of_a_frame_are_its_entities() -> None:
    scene = tabletop(three_objects(), num_frames=2)
    for frame, instances in zip(scene.frames, scene.instances, strict=True):
        assert frame.masks is not None and len(frame.masks) == 4
        for object_id in (1, 2, 3):
            labels = np.unique(frame.masks.labels[instances == object_id])
            assert len(labels) == 1 and (instances[frame.masks.labels == labels[0]] == object_id).all()


def test_noisy_depth_has_holes_and_the_stated_spread() -> None:
    exact = tabletop(three_objects(), num_frames=2, width=320)
    noisy = tabletop(three_objects(), num_frames=2, width=320, noise_seed=1)
    for clean, frame in zip(exact.true_depth_m, noisy.frames, strict=True):
        both = (clean > 0.5) & (clean < 0.9) & frame.valid
        error = (frame.depth_m - clean)[both]
        assert 0.0009 < np.median(np.abs(error)) / 0.6745 < 0.0022  # 1.2-1.6 mm and 2 mm steps
        assert 0.004 < ((clean > 0.3) & (clean < 2.3) & ~frame.valid).sum() / (clean > 0).sum() < 0.15


def test_ray_hits_a_placed_box_where_it_stands() -> None:
    mesh = place(shapes.box((0.1, 0.1, 0.1)), x_m=0.2).mesh
    caster = RayCaster([mesh])
    hits = caster.cast(np.array([0.2, 0.0, 1.0]), np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]))
    assert hits.mesh.tolist() == [0, -1]
    assert hits.distance[0] == pytest.approx(0.9, abs=1e-6)
    assert caster.occluded(np.array([0.0, 0.0, 0.05]), np.array([[1.0, 0.0, 0.0]]), far=0.1).tolist() == [False]
    assert caster.occluded(np.array([0.0, 0.0, 0.05]), np.array([[1.0, 0.0, 0.0]]), far=0.2).tolist() == [True]


def test_mask_errors_keep_their_rates_and_leave_the_rest_alone() -> None:
    scene = tabletop(three_objects(), num_frames=1, width=96, poses=orbit(1, elevation_deg=30.0))
    entities = np.where(scene.frames[0].masks.labels > 0, scene.instances[0], 0)
    entities = np.where((entities == 0) & (scene.true_depth_m[0] > 0), 4, entities).astype(np.int32)
    colour = scene.frames[0].rgb.astype(np.float32) / 255
    errors = MaskErrors(3, 96, np.random.default_rng(0))
    table_ious, clean = [], 0
    for _ in range(200):
        labels = errors.frame(entities, colour)
        largest = np.bincount(labels[entities == 4]).argmax()
        both, either = (labels == largest) & (entities == 4), (labels == largest) | (entities == 4)
        table_ious.append(both.sum() / either.sum())
        clean += len(np.unique(labels[labels > 0])) == 4
    assert errors.rates["object_masks"] == 600
    assert errors.rates["missing"] == pytest.approx(0.10, abs=0.03)
    assert errors.rates["split"] == pytest.approx(0.12, abs=0.03)
    assert errors.rates["merged"] <= 0.15
    assert np.median(table_ious) > 0.9
    assert clean > 40  # most frames of three objects show no error: 0.66**3 = 0.29


def test_merged_objects_share_a_label_and_missing_ones_have_none() -> None:
    entities = np.full((60, 80), 3, np.int32)
    entities[20:40, 10:40], entities[20:40, 40:70] = 1, 2
    errors = MaskErrors(2, 80, np.random.default_rng(3))
    colour = np.full((60, 80, 3), 0.5, np.float32)
    seen = {"merged": 0, "missing": 0}
    for _ in range(200):
        labels = errors.frame(entities, colour)
        first, second = labels[25:35, 15:35], labels[25:35, 45:65]
        seen["merged"] += first[0, 0] == second[0, 0] != 0
        seen["missing"] += bool((first == 0).all())
    assert seen["merged"] >= 8 and seen["missing"] >= 8
    assert errors.rates["merged"] == pytest.approx(0.12, abs=0.04)


def test_shuffled_ids_are_a_renaming() -> None:
    labels = np.array([[0, 1, 1], [2, 5, 0]], np.int32)
    renamed = shuffled(labels, np.random.default_rng(0))
    assert (renamed == 0).tolist() == (labels == 0).tolist()
    pairs = {(int(a), int(b)) for a, b in zip(labels.ravel(), renamed.ravel(), strict=True)}
    assert len(pairs) == 4 and len({b for _, b in pairs}) == 4


def test_points_behind_an_object_are_not_seen() -> None:
    front, back = place(shapes.box((0.02, 0.3, 0.3)), x_m=0.1).mesh, place(shapes.box((0.02, 0.1, 0.1)), x_m=-0.1).mesh
    caster = RayCaster([front, back])
    pose = look_at(np.array([0.7, 0.0, 0.05]), np.array([0.0, 0.0, 0.05]))
    cameras = Cameras(camera_of_width(160), pose[None])
    points = np.array([[0.11, 0.0, 0.05], [-0.09, 0.0, 0.05], [0.09, 0.0, 0.05]])
    normals = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    assert num_seen(points, normals, cameras, caster).tolist() == [1, 0, 0]


def test_there_may_be_no_test_views() -> None:
    assert novel_views(0, 0, 30.0, 270.0, np.random.default_rng(0)).shape == (0, 4, 4)


def test_handheld_path_stays_where_a_person_would_hold_a_camera() -> None:
    poses = handheld(60, 30.0, 270.0, np.random.default_rng(0))
    offsets = poses[:, :3, 3] - [0, 0, 0.04]
    distance = np.linalg.norm(offsets, axis=1)
    elevation = np.degrees(np.arcsin(offsets[:, 2] / distance))
    azimuth = np.degrees(np.unwrap(np.arctan2(offsets[:, 1], offsets[:, 0])))
    assert (distance > 0.48).all() and (distance < 1.08).all()
    assert (elevation > 16).all() and (elevation < 70).all()
    assert azimuth[-1] - azimuth[0] == pytest.approx(270, abs=12)
    # The centre of the table stays in the picture.
    centre = np.stack([inverse(T)[:3, :3] @ [0, 0, 0.04] + inverse(T)[:3, 3] for T in poses])
    pixels, z = project(centre, camera_of_width(320))
    assert (z > 0).all() and (np.abs(pixels - [159.5, 119.5]) < [120, 90]).all()


def test_light_is_dimmer_beneath_an_object_and_full_in_the_open() -> None:
    sheet = surfaces.Surface(Mesh(OPEN_SQUARE, np.array([[0, 1, 2], [0, 2, 3]], np.int32)), textures.Plain((1, 1, 1)))
    roof = surfaces.Surface(place(shapes.box((0.3, 0.3, 0.02)), z_m=0.05).mesh, textures.Plain((1, 1, 1)))
    alone = light.baked([sheet], RayCaster([sheet.mesh]))[0]
    covered = light.baked([sheet, roof], RayCaster([sheet.mesh, roof.mesh]))[0]
    lamp, sky = 0, 1
    assert alone[..., lamp] == pytest.approx(light.unshadowed(sheet)[..., lamp], abs=0.03)
    assert (covered[..., lamp] < 0.05).all()
    assert (covered[..., sky] < 0.6 * alone[..., sky]).all()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same small scene made twice."""
    pytest.importorskip("mujoco", reason="settling needs mujoco")
    options = SceneOptions(
        seed=5, objects=4, frames=3, test_views=2, width_px=96, supersample=1, shadows=False,
        points_per_object=400, reference_points=800,
    )  # fmt: skip
    folders = tmp_path_factory.mktemp("a") / "scene", tmp_path_factory.mktemp("b") / "scene"
    for folder in folders:
        generate(options, folder)
    return folders


def test_same_seed_same_bytes(generated: tuple[Path, Path]) -> None:
    first, second = generated
    files = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert len(files) == 3 * 5 + 2 * 3 + 1 + 4 + 5
    assert files == sorted(p.relative_to(second) for p in second.rglob("*") if p.is_file())
    assert all((first / f).read_bytes() == (second / f).read_bytes() for f in files)


def test_generated_scene_reads_as_a_recording_that_fits_its_truth(generated: tuple[Path, Path]) -> None:
    scene = SceneFolder.open(generated[0], "masks_clean")
    truth = np.load(generated[0] / "gt_points.npz")
    assert len(scene) == 3 and scene.camera.width == 96
    casters = {k: RayCaster([_mesh_of(generated[0] / f"objects/{k}.ply")]) for k in range(1, 5)}
    for index in range(len(scene)):
        frame = scene.frame(index)
        instances = read_image(generated[0] / f"instances/{index:06d}.png")
        points = transform(frame.T_world_camera, points_of_depth(frame.depth_m, frame.camera).astype(np.float64))
        for k, caster in casters.items():
            inside = binary_erosion(instances == k) & frame.valid
            if inside.sum() > 20:
                assert np.median(caster.distance_m(points[inside])) < 0.003
    assert np.bincount(truth["instance"])[1:].tolist() == [400] * 4
    rows = json.loads((generated[0] / "objects.json").read_text())
    assert all(row["watertight"] and row["volume_cm3"] > 20 for row in rows)
    assert sum(row["copies"] > 1 for row in rows) >= 2


def test_settled_objects_rest_on_something_and_do_not_overlap(generated: tuple[Path, Path]) -> None:
    rows = json.loads((generated[0] / "objects.json").read_text())
    assert all(row["on_table"] or row["touching"] > 0 for row in rows)
    meshes = [_mesh_of(generated[0] / f"objects/{k}.ply") for k in range(1, 5)]
    for mesh in meshes:
        assert mesh.vertices_m[:, 2].min() > -0.002
        assert np.abs(mesh.vertices_m[:, :2]).max() < 0.45
    for a, first in enumerate(meshes):
        caster = RayCaster([first])
        for second in meshes[:a] + meshes[a + 1 :]:
            samples, _ = second.sample(300, np.random.default_rng(0))
            assert (caster.inside(samples) & (caster.distance_m(samples) > 0.003)).sum() == 0


def _mesh_of(path: Path) -> Mesh:
    loaded = trimesh.load(path, process=False)
    return Mesh(np.asarray(loaded.vertices, np.float64), np.asarray(loaded.faces, np.int32))

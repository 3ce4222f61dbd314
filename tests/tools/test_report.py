"""The report: opened in a browser it shows the run; its pictures and charts show known things where they are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FinishedRun
from PIL import Image

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.instances import color_of_id
from instascene_ros.core.objects import CompletedObject
from instascene_ros.core.rendering.contract import Trace
from instascene_ros.core.run_files import CompletedFolder
from instascene_ros.tools.charts import Bar, Lane, bars, curve, lanes
from instascene_ros.tools.mesh_picture import PaintedMesh, picture_of_mesh
from instascene_ros.tools.pictures import overlaid, viewpoints
from instascene_ros.tools.report import RunFiles
from instascene_ros.tools.views import ids_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BARE = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def browser(tmp_path: Path, *words: str) -> str:
    """What chromium prints with a profile of its own."""
    command = [CHROMIUM, *BARE, f"--user-data-dir={tmp_path / 'profile'}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed, so nothing here can open a page")
def test_a_browser_shows_the_figures_of_the_run(finished: FinishedRun, tmp_path: Path) -> None:
    page = browser(tmp_path, "--dump-dom", (finished.out / "report.html").as_uri())
    objects = json.loads((finished.out / "completed" / "objects.json").read_text())
    run = RunFiles.read(finished.out)
    assert f"<b>{len(run.saved.gaussians):,}</b><span>Gaussians</span>" in page
    assert f"<b>{len(objects)}/{len(objects)}</b><span>objects completed</span>" in page
    assert "<b>10</b><span>frames, 0 dropped</span>" in page
    assert page.count('<article class="card">') == len(objects)
    assert all(f"<td>{row['faces']:,}</td><td>{row['method']}</td>" in page for row in objects)
    assert page.count("<svg") == 4
    assert page.count("<td>confirmed</td>") == len(run.confirmed) >= 3
    assert "<td>tentative</td>" not in page, "what few views have seen is not in the table"


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed, so nothing here can open a page")
@pytest.mark.parametrize("width", [1360, 500])
def test_the_page_fits_its_window_and_its_pictures_are_drawn(width: int, finished: FinishedRun, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    words = [f"--window-size={width},1000", "--hide-scrollbars", f"--screenshot={shot}"]
    browser(tmp_path, *words, (finished.out / "report.html").as_uri())
    page = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    ground = page[2, 2]
    assert (page[:, -6:] == ground).all(), "the page is wider than its window"
    colorful = (page.max(axis=-1) - page.min(axis=-1) > 90).mean()
    assert colorful > 0.02, "no picture with the colours of the objects or of the normals is to be seen"


def test_the_page_needs_nothing_else(finished: FinishedRun) -> None:
    page = (finished.out / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 4 + 2 * page.count('<article class="card">')
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert "<script" not in page
    assert "url(" not in page


def test_a_run_that_lost_a_file_has_no_report(finished: FinishedRun, tmp_path: Path) -> None:
    shutil.copytree(finished.out, tmp_path / "out")
    (tmp_path / "out" / "timeline.jsonl").unlink()
    with pytest.raises(InvalidSceneError, match="timeline.jsonl"):
        RunFiles.read(tmp_path / "out")


def half_seen_cube() -> CompletedObject:
    """A white cube with an edge of 2 m, 10 m in front of a camera at the origin; its left half was seen."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (9, 11)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))], np.int32)
    white = np.full((8, 3), 200, np.uint8)
    return CompletedObject(
        "map", 7, 1, corners, faces, white, corners[:, 0] < 0, np.eye(4), np.full(3, 2, np.float32), True, 0.5, 0.5,
        "geometric", 0,
    )  # fmt: skip


def test_a_cube_is_drawn_where_it_is_and_its_invented_half_is_magenta(tmp_path: Path) -> None:
    folder = CompletedFolder(tmp_path)
    folder.add(half_seen_cube(), 1.0)
    mesh = PaintedMesh.read(tmp_path / "7.ply")
    np.testing.assert_array_equal(mesh.vertices_m, half_seen_cube().vertices_m)
    np.testing.assert_array_equal(mesh.faces, half_seen_cube().faces)
    camera = Camera(90.0, 90.0, 50.0, 40.0, 101, 81)
    image = picture_of_mesh(mesh, camera, np.eye(4)).astype(int)
    v, u = np.nonzero(image[..., 3])
    # The front face at 9 m spans 90 / 9 = 10 px to each side of the centre.
    assert (u.min(), u.max(), v.min(), v.max(), len(u)) == (40, 60, 30, 50, 21 * 21)
    left, right = image[40, 41, :3], image[40, 59, :3]
    assert np.ptp(left) < 25, "what was seen keeps its white"
    assert min(right[0], right[2]) - right[1] > 60, "what was invented is magenta"
    plain = picture_of_mesh(mesh, camera, np.eye(4), tinted=False).astype(int)
    assert np.ptp(plain[40, 59, :3]) == 0


def test_a_mesh_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    CompletedFolder(tmp_path).add(half_seen_cube(), 1.0)
    content = (tmp_path / "7.ply").read_bytes()
    for damaged in (content[:-5], content[:40], b"ply\nend_header\n"):
        (tmp_path / "7.ply").write_bytes(damaged)
        with pytest.raises(InvalidSceneError, match="7.ply is not a completed object"):
            PaintedMesh.read(tmp_path / "7.ply")


def test_objects_are_looked_at_from_the_seen_side_from_behind_and_from_above(tmp_path: Path) -> None:
    CompletedFolder(tmp_path).add(half_seen_cube(), 1.0)
    mesh = PaintedMesh.read(tmp_path / "7.ply")
    seen, behind, above = viewpoints(mesh, np.array([0.0, 0.0, 1.0]))
    assert seen[1][0, 3] < -2
    assert behind[1][0, 3] > 2
    assert above[1][2, 3] > 12
    for camera, T_world_camera in (seen, behind, above):
        np.testing.assert_allclose(T_world_camera[:3, :3] @ T_world_camera[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.linalg.det(T_world_camera[:3, :3]) == pytest.approx(1)
        alpha = picture_of_mesh(mesh, camera, T_world_camera)[..., 3]
        assert 0.15 < (alpha > 0).mean() < 0.8
        assert not alpha[[0, -1]].any()
        assert not alpha[:, [0, -1]].any()


def test_the_heaviest_instance_of_a_pixel_wins_and_thin_cover_is_none() -> None:
    labels = np.array([4, 4, 9, 0], np.int32)
    pairs = [(0, 0, 0.3), (1, 0, 0.3), (2, 0, 0.35), (2, 1, 0.4), (3, 2, 0.6), (0, 2, 0.3), (2, 5, 0.9)]
    gaussians, pixels, weights = zip(*pairs, strict=True)
    trace = Trace(torch.tensor(gaussians), torch.tensor(pixels), torch.tensor(weights))
    ids = ids_of(trace, labels, Camera(3.0, 3.0, 1.0, 0.5, 3, 2))
    assert ids.tolist() == [[4, 0, 0], [0, 0, 9]]
    empty = Trace(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    assert not ids_of(empty, labels, Camera(3.0, 3.0, 1.0, 0.5, 3, 2)).any()


def test_instances_are_painted_in_their_colours() -> None:
    rgb, ids = np.full((60, 80, 3), 100, np.uint8), np.zeros((60, 80), np.int32)
    ids[10:50, 10:40], ids[55:58, 70:74] = 3, 8
    picture = overlaid(rgb, ids).astype(int)
    for instance_id, (v, u) in {3: (13, 13), 8: (56, 72)}.items():
        expected = 40 + 0.6 * np.array(color_of_id(instance_id))
        np.testing.assert_allclose(picture[v, u], expected, atol=1.5)
    assert (picture[5, 60] == 55).all(), "what is no instance is grey"


def widths_in(chart: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect [^>]*width="([\d.]+)"', chart)]


def test_charts_draw_to_scale() -> None:
    widths = widths_in(bars([Bar("a", 10, "10"), Bar("b", 5, "5")]))
    assert widths[1] == pytest.approx(widths[0] / 2, abs=0.1)
    drawn = lanes([Lane("3", "#fff", [(0, 4), (8, 9)], "1"), Lane("<b>", "#000", [(0, 9)])], 0, 9)
    widths = widths_in(drawn)
    np.testing.assert_allclose(np.array(widths) / widths[2], [0.5, 0.2, 1.0], atol=0.002)
    assert "→ 1" in drawn
    assert "&lt;b&gt;" in drawn, "labels are escaped"
    points = re.search(r'points="([^"]+)"', curve([0, 50, 100], [0, 1, 2], "n"))[1]
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
    assert (bars([]), curve([], [], "n")) == ("", "")

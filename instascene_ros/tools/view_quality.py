"""How well a map shows views that it was not made from: colour and depth, where the recording could know."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import gaussian_filter

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.geometry import inverse, project, transform
from instascene_ros.core.recording import Recording, SceneFolder, read_image
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.core.rendering.render import render
from instascene_ros.tools.views import test_views

OBSERVED_M = 0.01  # a surface point was observed where a recorded depth image agrees with it to this
SHOWN_ALPHA = 0.5  # a map shows something where it covers a pixel this much
SSIM_SIGMA_PX, SSIM_RADIUS_PX = 1.5, 5
MAX_PSNR_DB = 100.0


@dataclass(frozen=True)
class TestView:
    """A view that was kept from the map, and its truth."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    camera: Camera
    T_world_camera: Float64[np.ndarray, "4 4"]
    rgb: Float32[np.ndarray, "H W 3"]  # 0..1
    depth_m: Float32[np.ndarray, "H W"]  # exact, 0 = nothing there
    observed: Bool[np.ndarray, "H W"]  # surfaces that some recorded frame saw


@dataclass(frozen=True)
class ViewScores:
    """Means over views."""

    psnr_db: float
    ssim: float  # 0..1
    depth_l1_cm: float  # where the truth has a surface and the map shows one
    shown: float  # share of the counted pixels that the map covers


@dataclass(frozen=True)
class MapQuality:
    """Scores over the part of every view that was observed, and over whole views."""

    observed: ViewScores
    raw: ViewScores
    observed_share: float  # of all pixels
    num_gaussians: int

    def row(self) -> dict[str, float]:
        """Flat, for tables."""
        parts = {"observed": self.observed, "raw": self.raw}
        scores = {f"{part}_{name}": value for part, of in parts.items() for name, value in asdict(of).items()}
        return {**scores, "observed_share": self.observed_share, "gaussians": self.num_gaussians}


def load_test_views(recording: Recording, frames: Iterable[int]) -> list[TestView]:
    """The test views of a scene, and what of each the given frames of the recording observed.

    A pixel counts as observed if the true surface point behind it lies, in at least one of the frames, inside the
    image and within `OBSERVED_M` of the recorded depth. That does not depend on any map.

    Raises:
        InvalidSceneError: the scene has no test views, or no true depth for them.
    """
    camera, poses = test_views(recording)
    if not isinstance(recording, SceneFolder) or not (recording.path / "test" / "depth").is_dir():
        raise InvalidSceneError(f"{recording.name} has no true depth of its test views (test/depth)")
    folder, scale = recording.path / "test", recording.depth_scale
    witnesses = [recording.frame(index) for index in frames]
    views = []
    for index, pose in enumerate(poses):
        rgb = read_image(folder / "color" / f"{index:06d}.jpg")[..., :3].astype(np.float32) / 255
        depth_m = (read_image(folder / "depth" / f"{index:06d}.png") / scale).astype(np.float32)
        views.append(TestView(camera, pose, rgb, depth_m, observed_pixels(camera, pose, depth_m, witnesses)))
    return views


def observed_pixels(
    camera: Camera, T_world_camera: Float64[np.ndarray, "4 4"], depth_m: Float32[np.ndarray, "H W"],
    witnesses: Sequence[Frame],
) -> Bool[np.ndarray, "H W"]:  # fmt: skip
    """Pixels whose surface point one of the frames recorded."""
    observed = np.zeros(depth_m.size, bool)
    there = np.flatnonzero(depth_m > 0)
    points_m = transform(T_world_camera, (camera.rays() * depth_m[..., None]).reshape(-1, 3)[there])
    for frame in witnesses:
        left = np.flatnonzero(~observed[there])  # only what no earlier frame recorded
        pixels, z_m = project(transform(inverse(frame.T_world_camera), points_m[left]), frame.camera)
        with np.errstate(invalid="ignore"):
            u, v = (np.rint(np.nan_to_num(pixels, nan=-1.0, posinf=-1.0, neginf=-1.0)).clip(-1, 1e6).astype(int)).T
        inside = (z_m > 0) & (u >= 0) & (v >= 0) & (u < frame.camera.width) & (v < frame.camera.height)
        recorded_m = frame.depth_m[v[inside], u[inside]]
        agrees = (recorded_m > 0) & (np.abs(recorded_m - z_m[inside]) < OBSERVED_M)
        observed[there[left[inside][agrees]]] = True
    return observed.reshape(depth_m.shape)


def map_quality(gaussians: GaussianMap, rasterizer: Rasterizer, views: Sequence[TestView]) -> MapQuality:
    """Render every view and compare it with the truth."""
    observed, raw = [], []
    for view in views:
        rendering = render(rasterizer, gaussians, view.camera, view.T_world_camera)
        rgb = rendering.rgb.detach().cpu().numpy().clip(0, 1)
        depth_m = np.where(rendering.alpha.cpu() > SHOWN_ALPHA, rendering.depth_m.cpu(), 0).astype(np.float32)
        similarity = ssim_image(rgb, view.rgb)
        observed.append(_score(rgb, depth_m, similarity, view, view.observed))
        raw.append(_score(rgb, depth_m, similarity, view, np.ones_like(view.observed)))
    share = float(np.mean([view.observed.mean() for view in views]))
    return MapQuality(_mean(observed), _mean(raw), share, len(gaussians))


def _score(
    rgb: Float32[np.ndarray, "H W 3"], depth_m: Float32[np.ndarray, "H W"], similarity: Float32[np.ndarray, "H W"],
    view: TestView, where: Bool[np.ndarray, "H W"],
) -> ViewScores:  # fmt: skip
    if not where.any():
        return ViewScores(np.nan, np.nan, np.nan, np.nan)
    squared = ((rgb - view.rgb) ** 2).mean(-1)[where].mean()
    psnr_db = min(-10 * np.log10(max(float(squared), 1e-12)), MAX_PSNR_DB)
    both = where & (view.depth_m > 0) & (depth_m > 0)
    l1_cm = 100 * float(np.abs(depth_m - view.depth_m)[both].mean()) if both.any() else np.nan
    return ViewScores(psnr_db, float(similarity[where].mean()), l1_cm, float((depth_m > 0)[where].mean()))


def _mean(scores: Sequence[ViewScores]) -> ViewScores:
    """Of each score, over the views that have it."""
    columns = np.array([list(asdict(s).values()) for s in scores], np.float64).T
    counted = [column[np.isfinite(column)] for column in columns]
    return ViewScores(*(float(column.mean()) if len(column) else np.nan for column in counted))


def ssim_image(a: Float32[np.ndarray, "H W 3"], b: Float32[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
    """Structural similarity (Wang et al. 2004) of two images in 0..1 at every pixel, mean over the channels."""

    def local_mean(image: Float32[np.ndarray, "H W 3"]) -> Float64[np.ndarray, "H W 3"]:
        return gaussian_filter(image.astype(np.float64), (SSIM_SIGMA_PX, SSIM_SIGMA_PX, 0), radius=SSIM_RADIUS_PX)

    mean_a, mean_b = local_mean(a), local_mean(b)
    variance = local_mean(a * a) - mean_a**2 + local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (luminance * (2 * covariance + 0.03**2) / (variance + 0.03**2)).mean(-1).astype(np.float32)

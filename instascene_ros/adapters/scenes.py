"""The part of SceneMapper that the scene node uses, and how the node makes one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int32

from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.core.camera import Camera
from instascene_ros.core.config import Config
from instascene_ros.core.frame import Frame
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.instances import Instances
from instascene_ros.core.map_file import SavedMap
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.pipeline import SceneUpdate
from instascene_ros.core.rendering.contract import Rasterizer


@runtime_checkable
class Scene(Protocol):
    """A SceneMapper, or a stand-in of the same manners."""

    @property
    def map_id(self) -> str: ...

    @property
    def gaussians(self) -> GaussianMap: ...

    @property
    def instances(self) -> Instances: ...

    @property
    def rasterizer(self) -> Rasterizer: ...

    @property
    def keyframes(self) -> Sequence[Frame]: ...

    def process(self, frame: Frame) -> SceneUpdate: ...

    def refine(self, hurried: Callable[[], bool] = ...) -> bool: ...

    def labels(self) -> Int32[np.ndarray, " N"]: ...

    def snapshot(self) -> SavedMap: ...

    def restore(self, saved: SavedMap) -> None: ...

    def merge(self, ids: Sequence[int]) -> tuple[int, ...]: ...

    def remove(self, ids: Sequence[int]) -> tuple[int, ...]: ...

    def rename(self, instance_id: int, name: str) -> tuple[int, ...]: ...

    def instance_near(self, point_m: Float[np.ndarray, " 3"], radius_m: float) -> int: ...

    def observe(self, instance_id: int, max_views: int = 0) -> ObjectObservation: ...

    def reset(self) -> None: ...


MakeScene = Callable[[Config, SceneNodeConfig], Scene]


def make_scene_mapper(config: Config, node_config: SceneNodeConfig) -> Scene:
    """The real one.

    Raises:
        BackendUnavailableError: device, rasteriser or segmenter is missing.
    """
    from instascene_ros.core.allocator import give_back_large_blocks
    from instascene_ros.core.pipeline import SceneMapper
    from instascene_ros.core.rendering import make_rasterizer
    from instascene_ros.models import make_inpainter, make_segmenter

    give_back_large_blocks()
    rasterizer, segmenter = make_rasterizer(node_config.device), make_segmenter(node_config.segmenter, config)
    warm_up(SceneMapper(config, rasterizer, segmenter))
    return SceneMapper(config, rasterizer, segmenter, make_inpainter(config))


def warm_up(scene: Scene) -> None:
    """Compile what is compiled on first use: it can take a minute, and the images that come meanwhile would be lost."""
    height, width, depth_m = 120, 160, 0.6
    camera = Camera(width, width, width / 2, height / 2, width, height)
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    flat = Frame(0, camera, rgb, np.full((height, width), depth_m, np.float32), np.eye(4))
    for step in range(2):
        T_world_camera = np.eye(4)
        T_world_camera[0, 3] = 0.1 * step
        scene.process(replace(flat, stamp_ns=step, T_world_camera=T_world_camera))
        scene.refine()

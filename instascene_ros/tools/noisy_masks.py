"""Masks with the errors of a 2D segmenter, made anew from the true instances of a recorded scene."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int32
from numpy.random import default_rng

from instascene_ros.core.frame import Frame
from instascene_ros.core.masks import Masks
from instascene_ros.core.recording import SceneFolder, read_image
from instascene_ros.tools.scene_generator.mask_noise import MaskErrors

INSTANCES, CLEAN = "instances", "masks_clean"


@dataclass
class NoisyMasks:
    """A recording whose masks are its true entities with errors drawn from `seed`. Frames are asked for in order."""

    recording: SceneFolder
    seed: int
    _labels: dict[int, Int32[np.ndarray, "H W"]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.recording.name

    @property
    def frame_rate_hz(self) -> float:
        return self.recording.frame_rate_hz

    def __len__(self) -> int:
        return len(self.recording)

    def frame(self, index: int) -> Frame:
        """Frame `index` with its noisy masks. Errors last for several frames, so all frames are drawn at the first."""
        if not self._labels:
            self._labels = self._drawn()
        return replace(self.recording.frame(index), masks=Masks.from_image(self._labels[index]))

    def _drawn(self) -> dict[int, Int32[np.ndarray, "H W"]]:
        truth = [self._read(INSTANCES, index) for index in range(len(self))]
        num_objects = max(int(image.max()) for image in truth)
        errors = MaskErrors(num_objects, self.recording.camera.width, default_rng(self.seed))
        labels = {}
        for index, objects in enumerate(truth):
            background = np.unique(self._read(CLEAN, index), return_inverse=True)[1].reshape(objects.shape) + 1
            entities = np.where(objects > 0, objects, num_objects + background).astype(np.int32)
            rgb = read_image(self.recording.path / "color" / f"{index:06d}.jpg")
            labels[index] = errors.frame(entities, rgb[..., :3].astype(np.float32) / 255)
        return labels

    def _read(self, folder: str, index: int) -> Int32[np.ndarray, "H W"]:
        return read_image(self.recording.path / folder / f"{index:06d}.png").astype(np.int32)

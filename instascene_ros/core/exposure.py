"""Exposure and white balance that change between frames: one gain per colour channel, from what the map shows."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from instascene_ros.core.columns import Columns, checked
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.keyframe import Keyframe
from instascene_ros.core.rendering.render import Rendering
from instascene_ros.core.replay import Replayed

MIN_ALPHA = 0.9  # what shines through would darken the map
MAX_VALUE = 0.97  # brighter pixels may be saturated
PRIOR_SHARE = 0.002  # of the image's pixels, mid-grey and with gain 1: decides where next to nothing overlaps
MEMORY_KEYFRAMES = 100  # that the map's exposure is the mean of


@dataclass
class Exposure:
    """Keeps the map at the geometric mean exposure of its keyframes, rather than at that of the first.

    A keyframe's gain takes its image to the map's colours. It is measured once, against the map of that moment, and
    only ever scaled with the map: measured again while the map is fitted to it, both could drift together.
    """

    device: str
    num_keyframes: int = 0
    _level: Tensor = field(init=False)  # [3] product of all levellings
    _gains: dict[int, Tensor] = field(default_factory=dict)  # by stamp, as if the map had never been levelled

    def __post_init__(self) -> None:
        self._level = torch.ones(3, device=self.device)

    @torch.no_grad()
    def align(self, keyframe: Keyframe, rendering: Rendering | None, gaussians: GaussianMap) -> Rendering | None:
        """Measure the keyframe's gain and level the map; returns the rendering as the levelled map would give it."""
        self.num_keyframes = min(self.num_keyframes + 1, MEMORY_KEYFRAMES)
        gain = keyframe.gain if rendering is None else gain_of(keyframe, rendering)
        level = gain ** (-1 / self.num_keyframes)
        self._gains[keyframe.frame.stamp_ns] = gain / self._level
        self._level = self._level * level
        keyframe.gain = gain * level
        gaussians.colors.mul_(level).clamp_(max=1)
        return None if rendering is None else replace(rendering, rgb=rendering.rgb * level)

    def restore(self, keyframe: Keyframe) -> Keyframe:
        """Give a remembered keyframe its gain for the map as it is now."""
        gain = self._gains.get(keyframe.frame.stamp_ns)
        if gain is not None:
            keyframe.gain = gain * self._level
        return keyframe

    def forget(self, stamp_ns: int) -> None:
        self._gains.pop(stamp_ns, None)

    def columns(self) -> Columns:
        """All of it, to save."""
        gains = torch.stack([*self._gains.values(), self._level]).cpu().numpy()  # the level last
        return {
            "num_keyframes": np.array(self.num_keyframes),
            "stamps_ns": np.array([*self._gains], np.int64),
            "gains": gains,
        }

    @classmethod
    def from_columns(cls, columns: Columns, device: str) -> "Exposure":
        """Raises ValueError: the columns do not fit together."""
        found = checked({"num_keyframes": np.array(0)}, columns)
        stamps = checked({"stamps_ns": np.zeros(0, np.int64)}, columns)["stamps_ns"]
        gains = checked({"gains": np.zeros((0, 3), np.float32)}, columns)["gains"]
        if len(gains) != len(stamps) + 1:
            raise ValueError(f"{len(gains)} gains for {len(stamps)} keyframes and the map")
        restored = cls(device, int(found["num_keyframes"]))
        *of_frames, restored._level = torch.from_numpy(gains).to(device).unbind(0)
        restored._gains = dict(zip(stamps.tolist(), of_frames, strict=True))
        return restored


@torch.no_grad()
def gain_of(keyframe: Keyframe, rendering: Rendering) -> Float32[Tensor, " 3"]:
    """Factor per channel that takes the image to the map's colours, over pixels where both show one surface."""
    images = (keyframe.rgb, keyframe.depth_m, keyframe.tolerance_m, keyframe.usable)
    return _replayed_gain(*images, rendering.rgb, rendering.depth_m, rendering.alpha).gain


class _Gain(NamedTuple):
    gain: Float32[Tensor, " 3"]


def _gain(
    rgb: Float32[Tensor, "H W 3"],
    depth_m: Float32[Tensor, "H W"],
    tolerance_m: Float32[Tensor, "H W"],
    usable: Bool[Tensor, "H W"],
    shown_rgb: Float32[Tensor, "H W 3"],
    shown_m: Float32[Tensor, "H W"],
    alpha: Float32[Tensor, "H W"],
) -> _Gain:
    same = usable & ((shown_m - depth_m).abs() < tolerance_m) & (alpha > MIN_ALPHA) & (rgb < MAX_VALUE).all(-1)
    prior = 0.5 * PRIOR_SHARE * same.numel()
    shown = (shown_rgb * same[..., None]).sum((0, 1)) + prior
    return _Gain(shown / ((rgb * (alpha * same)[..., None]).sum((0, 1)) + prior))


_replayed_gain = Replayed(_gain)

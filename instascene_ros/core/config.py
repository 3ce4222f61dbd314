"""Every knob of the package: one field, its unit, its default and its meaning.

`config/instascene.yaml` mirrors these groups; a test compares the keys and the defaults.
"""

from dataclasses import dataclass, field
from typing import Any


def knob(default: Any, description: str, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field that carries what `ros2 param describe` and the README say about it."""
    return field(default=default, metadata={"description": description, "low": low, "high": high})


@dataclass(frozen=True)
class MappingConfig:
    """From frames to Gaussians."""

    width_px: int = knob(0, "Width that images are mapped at, px; 0: 320 on a CPU, 640 on a GPU.", 0, 4096)
    max_depth_m: float = knob(3.0, "Depth beyond this is not mapped, m.", 0.1, 100.0)
    min_depth_m: float = knob(0.15, "Depth nearer than this is not mapped, m.", 0.01, 10.0)
    keyframe_translation_m: float = knob(0.02, "A frame this far from the last keyframe becomes one, m.", 0.0, 10.0)
    keyframe_rotation_deg: float = knob(2.0, "A frame turned this much since the last keyframe becomes one, deg.", 0.0, 180.0)
    keyframe_max_gap: int = knob(5, "At the latest every this many frames is a keyframe.", 1, 1000)
    max_gaussians: int = knob(1_000_000, "The map stops growing at this many Gaussians.", 1000, 50_000_000)


@dataclass(frozen=True)
class TrackingConfig:
    """From masks to instances with stable ids."""

    min_trace_weight: float = knob(0.1, "A Gaussian belongs to a pixel when its alpha*T exceeds this.", 0.01, 1.0)


@dataclass(frozen=True)
class SegmentationConfig:
    """The RGB-D geometric segmenter, which needs no weights."""


@dataclass(frozen=True)
class CompletionConfig:
    """From one observed object to a whole one."""

    max_faces: int = knob(5000, "Faces of a completed mesh at most.", 100, 1_000_000)


@dataclass(frozen=True)
class Config:
    """All groups."""

    mapping: MappingConfig = field(default_factory=MappingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    completion: CompletionConfig = field(default_factory=CompletionConfig)

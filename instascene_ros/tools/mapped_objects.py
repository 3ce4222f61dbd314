"""Objects as a mapped recording shows them, kept on disk so that completions can be compared on the same input."""

from dataclasses import dataclass
from pathlib import Path

from instascene_ros.core.config import Config
from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.instances import InstanceState
from instascene_ros.core.map_file import load_map, save_map
from instascene_ros.core.objects import ObjectObservation
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering.contract import Rasterizer
from instascene_ros.tools.options import FrameRange


@dataclass(frozen=True)
class MappedInput:
    """Which frames of which recording, with which masks."""

    scene: Path
    masks: str
    frames: FrameRange

    @property
    def file_name(self) -> str:
        return f"{self.scene.name}_{self.masks}_{str(self.frames).replace(':', '_')}.npz"


def mapped_objects(
    job: MappedInput, config: Config, rasterizer: Rasterizer, cache: Path | None
) -> list[ObjectObservation]:
    """Every confirmed object after mapping; the map comes from the folder `cache` where it is there.

    Raises:
        InvalidSceneError: the recording, or a map in the folder, cannot be read.
    """
    mapper, path = SceneMapper(config, rasterizer), cache / job.file_name if cache else None
    if path is not None and path.exists():
        mapper.restore(load_map(path))
    else:
        recording = open_recording(job.scene, job.masks)
        for index in range(len(recording))[job.frames.first : job.frames.last]:
            mapper.process(recording.frame(index))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_map(path, mapper.snapshot())
    observations, instances = [], mapper.instances
    for i in instances.ids[instances.states == InstanceState.CONFIRMED].tolist():
        try:
            observations.append(mapper.observe(i))
        except TooFewPointsError:  # nothing to complete: it counts as missed
            continue
    return observations

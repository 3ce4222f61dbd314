"""Objects as a mapped recording shows them, kept on disk so that completions can be compared on the same input."""

import pickle
from dataclasses import dataclass
from pathlib import Path

from instascene_ros.core.atomic_file import replacing
from instascene_ros.core.config import Config
from instascene_ros.core.errors import TooFewPointsError
from instascene_ros.core.instances import InstanceState
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
        return f"{self.scene.name}_{self.masks}_{str(self.frames).replace(':', '_')}.pickle"


def mapped_objects(
    job: MappedInput, config: Config, rasterizer: Rasterizer, cache: Path | None
) -> list[ObjectObservation]:
    """Every confirmed object after mapping, from `cache` where it is there: a folder of one's own (pickles).

    Raises:
        InvalidSceneError: the recording cannot be read.
    """
    path = cache / job.file_name if cache else None
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    mapper, recording = SceneMapper(config, rasterizer), open_recording(job.scene, job.masks)
    for index in range(len(recording))[job.frames.first : job.frames.last]:
        mapper.process(recording.frame(index))
    observations, instances = [], mapper.instances
    for i in instances.ids[instances.states == InstanceState.CONFIRMED].tolist():
        try:
            observations.append(mapper.observe(i))
        except TooFewPointsError:  # nothing to complete: it counts as missed
            continue
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(pickle.dumps(observations))
    return observations

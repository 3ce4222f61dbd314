"""config/instascene.yaml, written from the dataclasses.

`python -m instascene_ros.adapters.parameter_file > config/instascene.yaml`

The file repeats every default for people to edit; a test fails when it and the dataclasses differ.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from instascene_ros.adapters.adapter_configs import (
    DetectionsNodeConfig,
    MockServerNodeConfig,
    PlanningSceneNodeConfig,
)
from instascene_ros.adapters.completion_config import CompletionNodeConfig
from instascene_ros.adapters.node_config import PlayerNodeConfig, SceneNodeConfig
from instascene_ros.adapters.segmentation_config import SegmentationNodeConfig
from instascene_ros.core.config import Config

HEADER = """\
# Every parameter of every node, with its default. Copy what you change into a file of your own and give it to the
# launch file as params_file. Written by `python -m instascene_ros.adapters.parameter_file`.
"""
NODES: dict[str, Any] = {  # node name pattern -> configuration
    "/**": Config(),
    "/**/scene": SceneNodeConfig(),
    "/**/completion": CompletionNodeConfig(),
    "/**/segmentation": SegmentationNodeConfig(),
    "/**/player": PlayerNodeConfig(),
    "/**/planning_scene": PlanningSceneNodeConfig(),
    "/**/detections": DetectionsNodeConfig(),
    "/**/mock_server": MockServerNodeConfig(),
}


def parameter_file() -> str:
    """The text of the file."""
    lines = [HEADER]
    for pattern, group in NODES.items():
        lines += [f"{pattern}:", "  ros__parameters:", *_lines(group, "    "), ""]
    return "\n".join(lines)


def _lines(group: Any, indent: str) -> Iterator[str]:
    for f in fields(group):
        value = getattr(group, f.name)
        if not is_dataclass(value):
            yield f"{indent}{f.name}: {_scalar(value)}  # {f.metadata['description']}"
        elif fields(value):
            yield f"{indent}{f.name}:"
            yield from _lines(value, indent + "  ")


def _scalar(value: Any) -> str:
    """YAML as rcl reads it: a float always has a point, or it would become an integer or a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, float):
        text = f"{value:.12f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    return str(value)


if __name__ == "__main__":
    print(parameter_file(), end="")

"""Whether an RViz configuration shows what the nodes publish: topics that exist, their types, quality of service."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from instascene_ros.core.errors import BackendUnavailableError, InvalidSceneError
from instascene_ros.core.topics import MAP_GAUSSIANS, PUBLISHED, Topic

# What a display of each kind subscribes to.
DISPLAYS = {
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
}
NOT_SHOWN = {MAP_GAUSSIANS}  # for programs: RViz has no display of surfels, and map/points shows where they are
CLICKS = "/clicked_point"
LATCHED, VOLATILE, RELIABLE = "Transient Local", "Volatile", "Reliable"


def problems_of(path: Path) -> list[str]:
    """What would not be seen with this configuration, in words; empty when all is well.

    Raises:
        InvalidSceneError: not an RViz configuration.
    """
    manager = _manager(path)
    shown = {d["Topic"]["Value"]: d for d in manager["Displays"] if isinstance(d, dict) and "Topic" in d}
    problems = [problem for name, display in shown.items() for problem in _display_problems(name, display)]
    for topic in PUBLISHED:
        if topic.type in DISPLAYS.values() and topic not in NOT_SHOWN and topic.name not in shown:
            problems.append(f"{topic.name} has no display")
    frame = manager.get("Global Options", {}).get("Fixed Frame", "")
    if not frame or frame.startswith("/"):
        problems.append(f"Fixed Frame is {frame!r}; expected the map_frame, without a slash")
    clicks = [tool["Topic"]["Value"] for tool in manager.get("Tools", []) if "PublishPoint" in tool.get("Class", "")]
    if clicks != [CLICKS]:
        problems.append(f"Publish Point goes to {clicks or 'nothing'}; the scene node listens to {CLICKS}")
    return problems


def _display_problems(name: str, display: Mapping[str, Any]) -> Iterator[str]:
    topics = {topic.name: topic for topic in PUBLISHED}
    topic = topics.get(name)
    if topic is None:
        yield f"{name} is published by no node; expected one of {', '.join(topics)}"
        return
    kind = DISPLAYS.get(display["Class"])
    if kind != topic.type:
        yield f"{name} is {topic.type}, but {display['Class']} shows {kind or 'something else'}"
    yield from _qos_problems(topic, display["Topic"])


def _qos_problems(topic: Topic, asked: Mapping[str, Any]) -> Iterator[str]:
    durability = asked.get("Durability Policy")
    if topic.latched and durability != LATCHED:
        yield f"{topic.name} is latched, but is asked for as {durability}: an RViz that starts late shows nothing"
    if not topic.latched and durability != VOLATILE:
        yield f"{topic.name} is not latched, but is asked for as {durability}: RViz would get nothing"
    if asked.get("Reliability Policy") != RELIABLE:
        yield f"{topic.name} is asked for as {asked.get('Reliability Policy')}: large messages get lost"


def _manager(path: Path) -> Mapping[str, Any]:
    try:
        import yaml  # PyYAML comes with ROS; the rest of the doctor does without
    except ImportError as error:
        raise BackendUnavailableError(f"reading {path} needs PyYAML ({error}): pip install pyyaml") from error
    try:
        manager = yaml.safe_load(path.read_text())["Visualization Manager"]
        displays = manager["Displays"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise InvalidSceneError(f"{path} is no RViz configuration: {error!r}") from error
    if not isinstance(displays, list):
        raise InvalidSceneError(f"{path} is no RViz configuration: it has no list of displays")
    return manager

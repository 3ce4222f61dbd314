"""The shipped RViz configuration shows everything, and the check sees what would not be shown."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import instascene

from instascene_ros.core.errors import InvalidSceneError
from instascene_ros.core.shipped_files import shipped_config
from instascene_ros.tools.rviz_check import problems_of


def test_the_shipped_configuration_shows_everything() -> None:
    assert problems_of(shipped_config("instascene.rviz")) == []
    result = instascene("doctor", "--rviz")
    assert (result.exit_code, "shows every topic" in result.output) == (0, True), result.output


def changed(tmp_path: Path, change: Callable[[dict], None]) -> Path:
    tree = yaml.safe_load(shipped_config("instascene.rviz").read_text())
    change(tree["Visualization Manager"])
    path = tmp_path / "mine.rviz"
    path.write_text(yaml.safe_dump(tree))
    return path


def display(manager: dict, topic: str) -> dict:
    return next(one for one in manager["Displays"] if one.get("Topic", {}).get("Value") == topic)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: display(m, "map/points")["Topic"].update(Value="map/cloud"), "map/cloud is published by no node"),
        (lambda m: display(m, "map/points").update(Class="rviz_default_plugins/Image"), "map/points is sensor_msgs"),
        (lambda m: display(m, "map/points")["Topic"].update({"Durability Policy": "Volatile"}), "starts late"),
        (lambda m: display(m, "debug/render")["Topic"].update({"Durability Policy": "Transient Local"}), "get nothing"),
        (lambda m: display(m, "map/points")["Topic"].update({"Reliability Policy": "Best Effort"}), "get lost"),
        (lambda m: m["Displays"].remove(display(m, "instances/markers")), "instances/markers has no display"),
        (lambda m: m["Global Options"].update({"Fixed Frame": "/map"}), "Fixed Frame is '/map'"),
        (lambda m: m["Tools"].clear(), "Publish Point goes to nothing"),
    ],
)  # fmt: skip
def test_what_would_not_be_shown_is_told(change: Callable[[dict], None], told: str, tmp_path: Path) -> None:
    path = changed(tmp_path, change)
    problems = problems_of(path)
    assert any(told in problem for problem in problems), problems
    result = instascene("doctor", "--rviz", "--rviz-config", path)
    assert (result.exit_code, told in result.output) == (1, True), result.output


@pytest.mark.parametrize("text", ["", "[]", "Visualization Manager: {Displays: 3}", "a: [", "Panels: []"])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.rviz").write_text(text)
    with pytest.raises(InvalidSceneError, match="no RViz configuration"):
        problems_of(tmp_path / "mine.rviz")

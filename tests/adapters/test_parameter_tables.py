"""The tables that people read are those of the code."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from instascene_ros.adapters.parameter_file import NODES
from instascene_ros.adapters.parameter_tables import DOCS, OFTEN_SET, README, TITLES, docs_text, readme_text, rows_of
from instascene_ros.adapters.parameters import flatten

COMMAND = "run python -m instascene_ros.adapters.parameter_tables"


def test_the_tables_are_up_to_date() -> None:
    assert DOCS.read_text() == docs_text(), COMMAND
    assert README.read_text() == readme_text(README.read_text()), COMMAND


def test_every_parameter_of_every_node_has_a_row() -> None:
    assert set(TITLES) == set(NODES)
    for group in NODES.values():
        assert [f"`{name}`" for name in flatten(group)] == [row[0] for row in rows_of(group)]
        assert all(meaning.endswith(".") for *_, meaning in rows_of(group))


def test_what_is_often_set_exists() -> None:
    for pattern, name in OFTEN_SET:
        assert name in flatten(NODES[pattern])


def test_a_readme_without_its_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has lost the lines"):
        readme_text("# instascene_ros")

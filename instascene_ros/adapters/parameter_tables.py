"""The parameters as tables for people: all in docs/parameters.md, those that most users set in README.md.

`python -m instascene_ros.adapters.parameter_tables` writes both into the source tree; a test fails when they differ.
"""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from instascene_ros.adapters.parameter_file import NODES

ROOT = Path(__file__).resolve().parents[2]
DOCS, README = ROOT / "docs" / "parameters.md", ROOT / "README.md"
BEGIN, END = "<!-- parameters: written by instascene_ros.adapters.parameter_tables -->", "<!-- parameters end -->"
HEAD = """\
# Parameters

Every parameter of every node. Written by `python -m instascene_ros.adapters.parameter_tables` from the dataclasses, as
[config/instascene.yaml](../config/instascene.yaml) is: copy what you change into a file of your own, and give it to the
launch file as `params_file`. `ros2 param describe` tells the same.
"""
TITLES = {
    "/**": "Mapping, tracking, segmentation and completion (`scene`, `completion` and `segmentation`)",
    "/**/scene": "Node `scene`",
    "/**/completion": "Node `completion`",
    "/**/segmentation": "Node `segmentation`",
    "/**/player": "Node `player`",
    "/**/planning_scene": "Node `planning_scene`",
    "/**/detections": "Node `detections`",
    "/**/mock_server": "Node `mock_server`",
}
OFTEN_SET = (
    ("/**/scene", "cameras"), ("/**/scene", "map_frame"), ("/**/scene", "pose_source"), ("/**/scene", "masks"),
    ("/**/scene", "device"), ("/**/scene", "input_qos"), ("/**/scene", "on_pose_jump"), ("/**", "mapping.width_px"),
    ("/**", "mapping.max_depth_m"), ("/**", "mapping.max_gaussians"), ("/**", "tracking.max_object_size_m"),
    ("/**", "completion.max_faces"), ("/**/planning_scene", "geometry"),
)  # fmt: skip

Row = tuple[str, str, str, str]  # name, default, range, meaning
COLUMNS = ("parameter", "default", "range", "meaning")


def rows_of(group: Any, prefix: str = "") -> Iterator[Row]:
    """One row for each parameter of a configuration."""
    for f in fields(group):
        value, name = getattr(group, f.name), f"{prefix}{f.name}"
        if is_dataclass(value):
            yield from rows_of(value, f"{name}.")
        else:
            yield f"`{name}`", _default(value), _range(f.metadata["low"], f.metadata["high"]), f.metadata["description"]


def docs_text() -> str:
    """docs/parameters.md."""
    parts = [f"## {TITLES[pattern]}\n\n{_table(COLUMNS, rows_of(group))}" for pattern, group in NODES.items()]
    return "\n".join([HEAD, *parts])


def readme_text(readme: str) -> str:
    """README.md with its table renewed.

    Raises:
        ValueError: the marks of the table are gone.
    """
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"README.md has lost the lines {BEGIN!r} and {END!r}")
    rows = {(pattern, row[0]): row for pattern, group in NODES.items() for row in rows_of(group)}
    chosen = [(_of_node(pattern, name), *rows[pattern, f"`{name}`"][1::2]) for pattern, name in OFTEN_SET]
    table = _table(("parameter", "default", "meaning"), iter(chosen))
    before, after = readme.split(BEGIN)[0], readme.split(END)[1]
    return f"{before}{BEGIN}\n{table}{END}{after}"


def _of_node(pattern: str, name: str) -> str:
    """The parameter, with its node where that is another than `scene`."""
    return f"`{name}`" if pattern in ("/**", "/**/scene") else f"`{name}` of `{pattern.rpartition('/')[2]}`"


def _cell(text: str) -> str:
    """Nothing in a cell is taken for markup; code keeps its signs."""
    return text if text.startswith("`") else text.replace("|", "&#124;").replace("<", "&lt;").replace(">", "&gt;")


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value!r}`".replace("'", '"')


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} .. {'' if high is None else f'{high:g}'}"


def main() -> None:
    DOCS.write_text(docs_text())
    README.write_text(readme_text(README.read_text()))


if __name__ == "__main__":
    main()

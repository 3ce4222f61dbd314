"""`instascene bench` counts what it says, and its figures can be read by programs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from scenes import tabletop, three_objects
from typer.testing import CliRunner

from instascene_ros.core.config import Config, MappingConfig
from instascene_ros.core.frame import Frame
from instascene_ros.core.pipeline import SceneMapper
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.bench_online import (
    OnlineRun,
    bytes_per_gaussian,
    latency_table,
    loop_order,
    memory_table,
    run_online,
    slope,
)  # fmt: skip
from instascene_ros.tools.cli import app
from instascene_ros.tools.figures import Budget, Spread, Table


class Recorded:
    """Frames in memory, as a recording."""

    name, frame_rate_hz = "tabletop", 10.0

    def __init__(self, frames: tuple[Frame, ...]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Frame:
        return self._frames[index]


@pytest.fixture(scope="module")
def run() -> OnlineRun:
    """Four frames there and back, five times."""
    recording = Recorded(tabletop(three_objects(), num_frames=4, width=80).frames)
    mapper = SceneMapper(Config(mapping=MappingConfig(refine_steps=1)), make_rasterizer("cpu"))
    return run_online(mapper, recording, loop_order(4, 1, 5), Console(quiet=True))


def test_a_loop_plays_the_frames_there_and_back() -> None:
    assert loop_order(5, 2, 0) == [0, 2, 4]
    assert loop_order(5, 2, 2) == [0, 2, 4, 4, 2, 0, 0, 2, 4, 4, 2, 0]


def test_stages_add_up_and_only_keyframes_after_the_warm_up_count(run: OnlineRun) -> None:
    assert len(run.samples) == 40 and 0 < len(run.keyframes) <= 10
    assert [s.stamp_ns for s in run.samples[:2]] == [100_000_000, 200_000_000]
    table = latency_table(run)
    assert [row["stage"] for row in table.rows][:2] == ["frame to instances", "prepare"]
    assert all(row["p50 ms"] <= row["p90 ms"] <= row["p99 ms"] <= row["max ms"] for row in table.rows)


def test_memory_is_flat_over_the_loop_and_counts_every_column(run: OnlineRun) -> None:
    values = {row["what"]: row["value"] for row in memory_table(run).rows}
    assert abs(values["Gaussians, slope over the last half, per frame"]) < 0.01 * len(run.saved.gaussians)
    columns = 12 + 16 + 8 + 4 + 12 + 4 + 16 + 16 + 8  # of the map
    assert bytes_per_gaussian(replace(run.saved, state=None)) == columns
    assert values["columns and optimiser, bytes per Gaussian"] == columns + 2 * (12 + 16 + 8 + 4 + 12) + 4
    assert values["process resident, MB"] > 50


def test_spread_slope_and_tables() -> None:
    assert Spread.of([1, 2, 3, 4, 5]) == Spread(3.0, 1.4, 4.6)
    assert slope([1.0, 3.0, 5.0]) == pytest.approx(2.0) and slope([4.0]) == 0
    table = Table("T", [Budget("b", 40, 41.0, "ms").row()])
    assert table.markdown().splitlines()[2] == "| budget | at most | measured | kept |"
    assert table.plain()["rows"][0]["kept"] == "no"


def test_the_command_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instascene_ros.tools.bench.default_sizes", lambda rasterizer: ([32], [300]))
    result = CliRunner().invoke(app, ["bench", "--device", "cpu", "--repeats", "2", "--json", str(tmp_path / "b.json")])
    assert result.exit_code == 0 and "| surfels | pixels |" in result.output
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["tables"][0]["rows"][0]["surfels"] == 300
    assert set(figures["tables"][0]["rows"][0]["forward ms"]) == {"median", "p10", "p90"}
    assert "processor" in figures["measured_on"]


def test_a_scene_that_is_not_there_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", str(tmp_path / "none"), "--no-rendering"])
    assert result.exit_code == 2

"""`instascene demo`: all of it on the sample scene, through the real nodes where they are built."""

import os
import subprocess
import sys
import webbrowser
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from instascene_ros.core import run_files
from instascene_ros.core.errors import InstasceneError, InvalidSceneError
from instascene_ros.core.recording_formats import open_recording
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.tools.options import RunOptions
from instascene_ros.tools.report import write_report
from instascene_ros.tools.run import run

SAMPLE = Path(__file__).resolve().parent.parent / "sample"
NODES_DEMO = "instascene_ros.nodes.demo"


def demo(options: RunOptions, console: Console, use_ros: bool, open_browser: bool) -> Path:
    """Map the sample, complete its objects, and show the report; `options.scene` is ignored.

    Raises:
        InvalidSceneError: the sample did not come with the installation.
        InstasceneError: the nodes were started and failed.
    """
    if not (SAMPLE / "scene.json").exists():
        raise InvalidSceneError(f"the sample scene is missing ({SAMPLE}): install the package again")
    options = replace(options, scene=SAMPLE)
    if use_ros and ros_is_built():
        console.print("Playing the sample through the ROS 2 nodes.")
        play_through_nodes(options)
    else:
        why = "its interfaces are not built here" if use_ros else "as asked for"
        console.print(f"Running without ROS 2 ({why}).")
        run(options, console)
    report = options.out / run_files.REPORT
    _show(report, console, open_browser)
    return report


def ros_is_built() -> bool:
    """Whether rclpy and this package's messages can be imported."""
    return find_spec("rclpy") is not None and find_spec("instascene_ros.msg") is not None


def play_through_nodes(options: RunOptions) -> None:
    """The same files by the nodes, in processes of their own; then the report."""
    run_files.clear_earlier_run(options.out)
    command = [sys.executable, "-m", NODES_DEMO, "--scene", str(options.scene), "--out", str(options.out)]
    status = subprocess.run([*command, "--device", options.device]).returncode
    if status == 130:
        raise KeyboardInterrupt
    if status != 0:
        raise InstasceneError(
            f"the nodes stopped with status {status}; their messages are above. `instascene demo --no-ros` goes without"
        )
    write_report(options.out, open_recording(options.scene), make_rasterizer(options.device))


def _show(report: Path, console: Console, open_browser: bool) -> None:
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform == "darwin"
    opened = open_browser and has_display and webbrowser.open(report.resolve().as_uri())
    console.print(f"Report{' opened' if opened else ''}: {report.resolve()}", soft_wrap=True)

"""What is installed, which of it works, and what to install for the rest."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from instascene_ros.core.install_lines import DETECTRON2
from instascene_ros.core.shipped_files import shipped_config
from instascene_ros.tools.rviz_check import problems_of

TIMEOUT_S = 120
State = Literal["works", "missing", "broken"]
STYLES = {"works": "green", "missing": "yellow", "broken": "red"}
# shared library -> Debian and Ubuntu package
SYSTEM_PACKAGES = {"libusb-1.0": "libusb-1.0-0", "libGL": "libgl1", "libEGL": "libegl1", "libgomp": "libgomp1"}


@dataclass(frozen=True)
class Probe:
    """One part, tried in a Python process of its own: what crashes on import must not take the doctor with it."""

    part: str
    module: str
    code: str  # prints one line about what was found; any error means broken
    purpose: str
    install: str
    required: bool = False


@dataclass(frozen=True)
class Finding:
    """What a probe saw."""

    part: str
    state: State
    detail: str
    purpose: str
    remedy: str  # '' when it works
    required: bool


RENDER = """
import numpy, torch
from instascene_ros.core.camera import Camera
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.rendering import make_rasterizer
from instascene_ros.core.rendering.render import render
surfel = [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0, 0.0]], [[0.1, 0.1]], [0.9], [[1.0, 0.0, 0.0]]
seen = render(make_rasterizer('cpu'), GaussianMap.from_surfels(*map(torch.tensor, surfel)),
              Camera(20.0, 20.0, 8.0, 6.0, 16, 12), numpy.eye(4))
assert abs(float(seen.depth_m[6, 8]) - 1) < 1e-3, 'a surfel 1 m away was drawn elsewhere'
print('draws a surfel where it is')
"""
GPU = "torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'"
MESSAGES = "import instascene_ros.msg, instascene_ros.srv, instascene_ros.action; print('built')"
NODE = """
import rclpy
from importlib.metadata import version
rclpy.init(); rclpy.create_node('doctor'); rclpy.shutdown()
from rclpy.utilities import get_rmw_implementation_identifier as rmw
print(rmw())
"""
PIP = "pip install"


def _needed(part: str, module: str, code: str, purpose: str, install: str) -> Probe:
    return Probe(part, module, code, purpose, install, required=True)


def _optional(module: str, purpose: str, install: str) -> Probe:
    return Probe(module, module, f"import {module}; print(getattr({module}, '__version__', 'found'))", purpose, install)


PROBES = (
    _needed("torch", "torch", f"import torch; print(torch.__version__ + ',', {GPU})",
            "everything", f"{PIP} torch==2.13.0"),
    _needed("numba", "numba", "import numba; assert numba.njit(lambda x: x + 1)(1) == 2; print(numba.__version__)",
            "CPU rendering, segmentation", f"{PIP} numba"),
    _needed("open3d", "open3d", "import open3d as o; assert o.geometry.TriangleMesh.create_box().is_watertight(); "
            "print(o.__version__)", "meshes", f"{PIP} open3d==0.20.0"),
    _needed("other libraries", "trimesh", "import scipy, sklearn, trimesh, PIL, jinja2, matplotlib, typer, jaxtyping; "
            "print('scipy', scipy.__version__)", "everything", f"{PIP} -r requirements.txt"),
    _needed("CPU rasteriser", "torch", RENDER, "mapping without a GPU", f"{PIP} -r requirements.txt"),
    Probe("gsplat", "gsplat", f"import gsplat, torch; print(gsplat.__version__ + ',', {GPU})",
          "mapping on a GPU", f"{PIP} gsplat==1.5.3   # needs an NVIDIA GPU and nvcc"),
    Probe("ROS 2 (rclpy)", "rclpy", NODE, "the nodes",
          f"{PIP} -r requirements-ros.txt   # on a robot: . /opt/ros/jazzy/setup.bash"),
    Probe("our messages", "instascene_ros.msg", MESSAGES, "the nodes",
          "make setup; . .venv/bin/activate && . install/setup.bash   # on a robot: colcon build"),
    _optional("cv_bridge", "faster images; numpy does it otherwise",
              "sudo apt-get install ros-jazzy-cv-bridge   # needs numpy<2"),
    _optional("tf2_ros", "pose_source: tf", "sudo apt-get install ros-jazzy-tf2-ros-py"),
    _optional("rosbags", "rosbag2 recordings (run, player)", f"{PIP} rosbags"),
    _optional("moveit_msgs", "node planning_scene", "sudo apt-get install ros-jazzy-moveit-msgs"),
    _optional("coacd", "node planning_scene, geometry: parts", f"{PIP} coacd"),
    _optional("vision_msgs", "node detections", "sudo apt-get install ros-jazzy-vision-msgs"),
    _optional("diffusers", "--method diffusion (--completion-model)", f"{PIP} diffusers"),
    _optional("transformers", "--segmenter mask2former and sam2", f"{PIP} 'transformers>=4.56'   # not torchvision"),
    _optional("detectron2", "--segmenter detectron2 (CropFormer)",
              f"{PIP} torchvision && {DETECTRON2}   # needs g++; nvcc for a GPU"),
)  # fmt: skip


def examine(probe: Probe) -> Finding:
    """Run one probe."""
    finding = Finding(probe.part, "works", "", probe.purpose, "", probe.required)
    # OFF: a doctor's node announces itself to nobody.
    environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}
    try:
        argv = [sys.executable, "-c", probe.code]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return replace(finding, state="broken", detail=f"no answer in {TIMEOUT_S} s", remedy=probe.install)
    if done.returncode == 0:
        return replace(finding, detail=_last_line(done.stdout))
    complaint = _last_line(done.stderr) or f"ended with status {done.returncode}"
    if re.search(rf"No module named '({probe.module}|{probe.module.split('.')[0]})'", complaint):
        return replace(finding, state="missing", remedy=probe.install)
    return replace(finding, state="broken", detail=complaint, remedy=_system_package(complaint) or probe.install)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()


def _system_package(complaint: str) -> str:
    """The apt line for a shared library that the loader did not find; '' when that is not the complaint."""
    found = re.search(r"(lib[\w.+-]+?)\.so", complaint)
    package = SYSTEM_PACKAGES.get(found.group(1)) if found else None
    return f"sudo apt-get install {package}" if package else ""


def _python() -> Finding:
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    remedy = "" if supported else "use Python 3.10 to 3.13: PYTHON=/path/to/python3.12 make setup"
    detail = f"{platform.python_version()} in {sys.prefix}"
    return Finding("Python", "works" if supported else "broken", detail, "everything", remedy, True)


def _backend() -> str:
    """What `--device auto` takes here."""
    try:
        from instascene_ros.core.rendering import make_rasterizer  # needs torch, which may be what is missing

        return make_rasterizer("auto").name
    except (ImportError, RuntimeError) as error:
        return f"none: {error}"


def _method() -> str:
    """What `--method auto` completes objects with here."""
    try:
        from instascene_ros.core.config import Config
        from instascene_ros.models import chosen_prior  # needs torch, too

        return f"{chosen_prior('auto', Config())}; another model where --completion-model names its folder"
    except ImportError as error:
        return f"none: {error}"


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(title="instascene doctor", title_justify="left")
    for column in ("part", "state", "found", "needed for"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        need = finding.purpose if finding.required else f"{finding.purpose} (optional)"
        table.add_row(finding.part, f"[{STYLES[finding.state]}]{finding.state}[/]", finding.detail, need)
    return table


def doctor(console: Console | None = None, probes: Sequence[Probe] = PROBES) -> int:
    """Print what was found and what to install; 0 when the CPU route works, 1 otherwise."""
    console = console or Console()
    with console.status("trying each part in a process of its own ..."), ThreadPoolExecutor(max_workers=2) as pool:
        findings = [_python(), *pool.map(examine, probes)]
    console.print(_table(findings))
    console.print(f"rendering backend of --device auto: [bold]{_backend()}[/]", highlight=False)
    console.print(f"completion of --method auto: [bold]{_method()}[/]", highlight=False)
    for finding in findings:
        if finding.remedy:
            console.print(f"  {finding.part}: {finding.remedy}", highlight=False, markup=False, soft_wrap=True)
    broken = [finding.part for finding in findings if finding.required and finding.state != "works"]
    if broken:
        console.print(f"[bold red]The CPU route does not work:[/] {', '.join(broken)}", highlight=False)
    else:
        console.print("[bold green]The CPU route works.[/]")
    return 1 if broken else 0


def doctor_rviz(path: Path | None = None, console: Console | None = None) -> int:
    """Print what an RViz configuration (default: the shipped one) would not show; 0 when nothing, 1 otherwise.

    Raises:
        InvalidSceneError: it is none.
    """
    console, path = console or Console(), path or shipped_config("instascene.rviz")
    problems = problems_of(path)
    for problem in problems:
        console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
    told = f"[bold red]{len(problems)} problems[/]" if problems else "[bold green]shows every topic[/]"
    console.print(f"{path}: {told}", highlight=False, soft_wrap=True)
    return 1 if problems else 0

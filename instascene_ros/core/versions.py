"""What a run was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from instascene_ros import __version__


def versions() -> dict[str, str]:
    """Versions and hardware that decide results and times."""
    found = {"instascene_ros": __version__, "Python": platform.python_version()}
    for package in ("torch", "numpy", "open3d", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["processor"] = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return found


def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        return name
    return f"{names[0]} ({len(names)} threads)" if names else name

"""Rendering backends behind one contract."""

from importlib.util import find_spec

import torch

from instascene_ros.core.errors import BackendUnavailableError
from instascene_ros.core.rendering.contract import Rasterizer

BACKENDS = ("cpu", "gsplat", "reference")


def make_rasterizer(device: str = "auto", name: str | None = None) -> Rasterizer:
    """The backend called `name` for maps on `device` ("auto", "cpu" or "cuda").

    Without a name: "gsplat" on CUDA, "cpu" on a CPU; a device of "auto" is CUDA where CUDA and gsplat are both there.

    Raises:
        BackendUnavailableError: the backend or device is unknown or they do not fit, or a library or GPU is missing.
    """
    if device not in ("auto", "cpu", "cuda") or name not in (None, "auto", *BACKENDS):
        raise BackendUnavailableError(
            f"rendering backend {name!r} on device {device!r}; expected auto or one of {', '.join(BACKENDS)}, and "
            "device auto, cpu or cuda"
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailableError("device cuda was asked for, but torch finds no GPU: use cpu or auto")
    if name in (None, "auto"):
        name = "gsplat" if device == "cuda" or (device == "auto" and _gsplat_fits()) else "cpu"
    if (name, device) in (("cpu", "cuda"), ("gsplat", "cpu")):
        raise BackendUnavailableError(f"rendering backend {name} does not work on device {device}: use device auto")
    return _make(name, "cuda" if device == "cuda" else "cpu")


def _make(name: str, device: str) -> Rasterizer:
    # Each backend brings a heavy library, so only the chosen one is imported.
    if name == "reference":
        from instascene_ros.core.rendering.reference import ReferenceRasterizer

        return ReferenceRasterizer(device)
    if name == "gsplat":
        from instascene_ros.core.rendering.gsplat_backend import GsplatRasterizer

        return GsplatRasterizer()
    from instascene_ros.core.rendering.cpu import CpuRasterizer

    return CpuRasterizer()


def _gsplat_fits() -> bool:
    return torch.cuda.is_available() and find_spec("gsplat") is not None

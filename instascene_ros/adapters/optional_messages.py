"""Messages of other packages that a robot may or may not have: imported when a node needs them."""

from importlib import import_module
from types import ModuleType

from instascene_ros.core.errors import BackendUnavailableError


def messages_of(package: str, kind: str, node: str) -> ModuleType:
    """`<package>.<kind>` (msg or srv).

    Raises:
        BackendUnavailableError: not installed; the message has the line to run.
    """
    try:
        return import_module(f"{package}.{kind}")
    except ImportError as error:
        apt = f"ros-jazzy-{package.replace('_', '-')}"
        raise BackendUnavailableError(f"node {node} needs {package} ({error}): sudo apt install {apt}") from error

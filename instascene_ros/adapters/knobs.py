"""Knobs that take effect while a node runs; those of core/config.py take effect when a node is configured."""

from dataclasses import Field, field
from typing import Any


def live_knob(default: Any, description: str, low: int | float | None = None, high: int | float | None = None) -> Any:
    """As `core.config.knob`, but a change takes effect at once."""
    return field(default=default, metadata={"description": description, "low": low, "high": high, "live": True})


def start_knob(default: Any, description: str, low: int | float | None = None, high: int | float | None = None) -> Any:
    """As `core.config.knob`, but read when the process starts."""
    return field(default=default, metadata={"description": description, "low": low, "high": high, "at_start": True})


def autostart_knob() -> Any:
    """Of every managed node."""
    return start_knob(True, "Configure and activate at start; false leaves both to a lifecycle manager.")


def is_fixed(f: Field) -> bool:
    """Whether a change of the field needs another process."""
    return f.metadata.get("at_start", False)


def is_live(f: Field) -> bool:
    """Whether a change of the field takes effect at once."""
    return f.metadata.get("live", False)

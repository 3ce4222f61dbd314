"""What the fault tests share: the table that they fill, and ways to watch a node."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import NodeProcess

TABLE = Path(os.environ.get("SOAK_TABLE", "soak_table.md"))
TIMES = float(os.environ.get("SOAK_TIMES", "1"))  # scales every count


def times(count: int) -> int:
    """How often to repeat, by SOAK_TIMES."""
    return max(1, round(count * TIMES))


@contextmanager
def row(fault: str, count: int, *nodes: NodeProcess) -> Iterator[list[str]]:
    """Write one row when the block ends; what was seen besides is appended by the test."""
    seen: list[str] = []
    outcome = "failed"
    try:
        yield seen
        outcome = "none"
    finally:
        alive = sum(node.process.poll() is None for node in nodes)
        with TABLE.open("a") as table:
            table.write(f"| {fault} | {count} | {alive} of {len(nodes)} | {outcome} | {'; '.join(seen)} |\n")


def memory_mb(node: NodeProcess) -> float:
    """Resident."""
    return int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

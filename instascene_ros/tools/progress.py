"""Progress bars of long work."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

Item = TypeVar("Item")


class Stage:
    """One bar: iterate over it, and say what is happening beside it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def say(self, text: str) -> None:
        self._progress.update(self._task, note=text)

    def over(self, items: Sequence[Item]) -> Iterator[Item]:
        """The items; the bar moves as each is done."""
        for item in items:
            yield item
            self._progress.advance(self._task)


@contextmanager
def stage(console: Console, title: str, total: int) -> Iterator[Stage]:
    """A bar that stays on the screen when its stage is done."""
    with _bar(console, MofNCompleteColumn()) as progress:
        yield Stage(progress, progress.add_task(title, total=total, note=""))


@contextmanager
def fraction(console: Console, title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar for a job that says what it does, and which share of that is done (0..1)."""
    with _bar(console, TaskProgressColumn()) as progress:
        task = progress.add_task(title, total=1.0, note="")
        yield lambda step, done: progress.update(task, completed=done, note=step)
        progress.update(task, completed=1.0, note="")


def _bar(console: Console, count: ProgressColumn) -> Progress:
    note = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # the rest of the line, never the room of the others
    columns = (
        TextColumn("{task.description:<18}"), BarColumn(bar_width=28), count, TimeElapsedColumn(),
        TimeRemainingColumn(compact=True), TextColumn("{task.fields[note]}", table_column=note),
    )  # fmt: skip
    return Progress(*columns, console=console, expand=True)

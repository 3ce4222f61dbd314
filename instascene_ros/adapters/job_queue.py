"""Long jobs, one at a time: callers that ask for the same share one job, and each may leave when it likes."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

from instascene_ros.adapters.error_codes import RequestTimeoutError
from instascene_ros.core.errors import CancelledError

Result = TypeVar("Result")
POLL_S = 0.05  # how soon a caller notices that it gave up, or ran out of time
STOP_S = 2.0  # the thread is a daemon: a step that takes longer does not keep the process
MIN_STEP = 0.01  # progress that is worth telling


@dataclass(frozen=True)
class Progress:
    """Where a job stands: a stage of CompleteObject.action, 0..1 over the whole job, and words."""

    stage: int
    fraction: float
    message: str


class Job(Generic[Result]):
    """One piece of work. `work` gets the job, to report to it and to ask it whether to go on."""

    def __init__(self, key: Hashable, work: "Callable[[Job[Result]], Result]") -> None:
        self.key, self.work = key, work
        self.changed = Condition()
        self.history: list[Progress] = []
        self.callers = 0
        self.wanted_anyway = False  # a caller ran out of time and will ask again: finish for it
        self.finished = False
        self.result: Result | None = None
        self.error: Exception | None = None

    def report(self, stage: int, fraction: float, message: str) -> None:
        """Progress for every caller; the fraction never falls, and steps too small to see are dropped."""
        with self.changed:
            last = self.history[-1] if self.history else Progress(-1, 0.0, "")
            fraction = min(max(fraction, last.fraction), 1.0)
            if stage != last.stage or fraction >= last.fraction + MIN_STEP:
                self.history.append(Progress(stage, fraction, message))
                self.changed.notify_all()

    def cancelled(self) -> bool:
        """Nobody waits for this job any more."""
        return self.callers <= 0 and not self.wanted_anyway

    def news(self, told: int) -> tuple[list[Progress], bool]:
        """What came after the first `told` steps of progress, and whether that is all. Waits for either a little."""
        with self.changed:
            self.changed.wait_for(lambda: self.finished or len(self.history) > told, POLL_S)
            return self.history[told:], self.finished

    def outcome(self) -> Result:
        """The result of a finished job, or its error raised."""
        if self.error is not None:
            raise self.error
        return self.result

    def finish(self, result: Result | None, error: Exception | None) -> None:
        """The first end counts."""
        with self.changed:
            if not self.finished:
                self.result, self.error, self.finished = result, error, True
                self.changed.notify_all()


class JobQueue(Generic[Result]):
    """Runs jobs in the order in which they came, on one thread."""

    def __init__(self, max_jobs: int) -> None:
        self._max_jobs = max_jobs
        self._wake = Condition()
        self._jobs: list[Job[Result]] = []  # the first is running
        self._running = True
        self._thread = Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def join(self, key: Hashable, work: Callable[[Job[Result]], Result]) -> Job[Result] | None:
        """A job of that key: one that waits or runs, otherwise a new one. None: the queue is full or stopped.

        Every join is followed by one `leave`.
        """
        with self._wake:
            for job in self._jobs:
                if job.key == key and not job.cancelled() and not job.finished:
                    job.callers += 1
                    return job
            if not self._running or len(self._jobs) >= self._max_jobs:
                return None
            job = Job(key, work)
            job.callers = 1
            self._jobs.append(job)
            self._wake.notify()
            return job

    def leave(self, job: Job[Result], wanted_anyway: bool = False) -> None:
        """One caller less; a job that nobody wants is dropped, or stops at its next question if it runs."""
        with self._wake:
            job.callers -= 1
            job.wanted_anyway |= wanted_anyway
            if job.cancelled() and job in self._jobs[1:]:
                self._jobs.remove(job)
                job.finish(None, CancelledError("cancelled before its turn came"))

    @property
    def num_jobs(self) -> int:
        """Those that nobody has an answer of yet."""
        with self._wake:
            return sum(not job.finished for job in self._jobs)

    def ahead_of(self, job: Job[Result]) -> int:
        """Jobs to be done before it starts."""
        with self._wake:
            before = self._jobs[: self._jobs.index(job)] if job in self._jobs else []
            return sum(not other.finished for other in before)

    def drop(self, reason: str) -> None:
        """Answer all that wait at once with CancelledError, and ask the running job to end."""
        with self._wake:
            for job in self._jobs:
                job.wanted_anyway, job.callers = False, 0
                job.finish(None, CancelledError(reason))

    def stop(self) -> None:
        """Drop all jobs, take no more, and wait a little for the one that runs."""
        with self._wake:
            self._running = False
            self._wake.notify()
        self.drop("cancelled: the node is shutting down")
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._jobs or not self._running)
                if not self._jobs:
                    return
                job = self._jobs[0]
            _carry_out(job)
            with self._wake:
                self._jobs.remove(job)


def _carry_out(job: Job[Result]) -> None:
    try:
        job.finish(job.work(job), None)
    except Exception as error:  # belongs to the callers, who re-raise it
        job.finish(None, error)


def wait_for(
    job: Job[Result], timeout_s: float, gave_up: Callable[[], bool], tell: Callable[[Progress], None]
) -> Result:
    """Wait on the caller's own thread, telling every step of progress once and in order.

    Raises:
        CancelledError: the caller gave up.
        RequestTimeoutError: the time ran out; the job itself goes on.
        Exception: whatever the job raised.
    """
    told, deadline_s = 0, monotonic() + timeout_s
    while True:
        news, finished = job.news(told)
        for progress in news:
            tell(progress)
        told += len(news)
        if finished:
            return job.outcome()
        if gave_up():
            raise CancelledError("cancelled as requested")
        if monotonic() > deadline_s:
            raise RequestTimeoutError(f"not done after {timeout_s:g} s; it goes on: ask again, or give it more time")

"""Where requests to complete an object are taken, wait and are answered; service and action use the same desk."""

from collections.abc import Callable
from functools import partial
from logging import getLogger
from threading import BoundedSemaphore, Lock

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.adapters.completer import Completer, Completion
from instascene_ros.adapters.completion_config import MAX_WAITING, CompletionNodeConfig
from instascene_ros.adapters.completion_request import CompletionRequest
from instascene_ros.adapters.error_codes import Codes, RequestTimeoutError, code_of
from instascene_ros.adapters.job_queue import Job, JobQueue, Progress, wait_for
from instascene_ros.core.completion import Stage
from instascene_ros.core.errors import InstasceneError
from instascene_ros.core.protocols import Prior
from instascene_ros.srv import CompleteObject

Asked = CompleteObject.Request | CompleteObjectAction.Goal
Answer = CompleteObject.Response | CompleteObjectAction.Result
Tell = Callable[[Progress], None]
log = getLogger(__name__)


class CompletionDesk:
    """Requests wait on their callers' threads; work happens on the one thread of the job queue.

    A request waits rather than awaits, because rclpy polls a suspended coroutine without pause.
    """

    def __init__(
        self,
        config: CompletionNodeConfig,
        completer: Completer,
        make_prior: Callable[[str], Prior],
        on_completed: Callable[[Completion], None],
    ) -> None:
        self.is_open = False
        self._config, self._completer, self._on_completed = config, completer, on_completed
        self._make_prior, self._priors, self._priors_lock = make_prior, dict[str, Prior](), Lock()
        self._slots = BoundedSemaphore(MAX_WAITING)
        self._queue: JobQueue[Completion] = JobQueue(MAX_WAITING)

    @property
    def num_waiting(self) -> int:
        """Requests that wait or run."""
        return self._queue.num_jobs

    def open(self) -> None:
        """Take requests from now on."""
        self.is_open = True

    def shut(self) -> None:
        """Take no more requests; whoever waits is told CANCELED."""
        self.is_open = False
        self._queue.drop("cancelled: the completion node was deactivated")

    def close(self) -> None:
        """End the work for good; whoever waits is told CANCELED."""
        self.is_open = False
        self._queue.stop()

    def configure(self, config: CompletionNodeConfig) -> None:
        """Take over what may change while running."""
        self._config = config

    def prior(self, method: str) -> Prior:
        """The prior of that name, made once.

        Raises:
            BackendUnavailableError: no such method, or its library or weights are missing.
        """
        with self._priors_lock:
            if method not in self._priors:
                self._priors[method] = self._make_prior(method)
            return self._priors[method]

    def answer(self, asked: Asked, answer: Answer, timeout_s: float, gave_up: Callable[[], bool], tell: Tell) -> None:
        """Fill in the object, or the error in words. Returns when done, given up or out of time (0 = default)."""
        try:
            completion = self._complete(asked, timeout_s or self._config.default_timeout_s, gave_up, tell)
        except InstasceneError as error:
            answer.error_code, answer.error_msg = code_of(error), str(error)
        except Exception as error:  # a fault of a method must not take the node, and other people's jobs, with it
            log.exception("complete_object failed")
            answer.error_code, answer.error_msg = Codes.UNKNOWN, f"{type(error).__name__}: {error} (see the node's log)"
        else:
            answer.object, answer.from_cache = completion.message, completion.from_cache
            if completion.completed.warning:  # no error: clients take any error_msg for one
                log.warning("instance %d: %s", answer.object.instance_id, completion.completed.warning)
        if answer.error_code != Codes.NONE:
            log.warning("complete_object: %s [code %d]", answer.error_msg, answer.error_code)

    def _complete(self, asked: Asked, timeout_s: float, gave_up: Callable[[], bool], tell: Tell) -> Completion:
        request = CompletionRequest.of(asked, self._config.method)
        if (known := self._completer.remembered(request)) is not None:
            return known
        work = partial(self._work, request, self.prior(request.method))
        if not self._slots.acquire(blocking=False):
            raise self._busy()
        try:
            return self._take_part(request, work, timeout_s, gave_up, tell)
        finally:
            self._slots.release()

    def _take_part(
        self,
        request: CompletionRequest,
        work: Callable[[Job[Completion]], Completion],
        timeout_s: float,
        gave_up: Callable[[], bool],
        tell: Tell,
    ) -> Completion:
        """Join the job of this request and wait for it."""
        job = self._queue.join(request, work)
        if job is None:
            raise self._busy()
        late = False
        try:
            if ahead := self._queue.ahead_of(job):
                tell(Progress(Stage.QUEUED, 0.0, f"{ahead} before it"))
            return wait_for(job, timeout_s, gave_up, tell)
        except RequestTimeoutError:
            late = True
            raise
        finally:
            self._queue.leave(job, wanted_anyway=late)

    def _work(self, request: CompletionRequest, prior: Prior, job: Job[Completion]) -> Completion:
        """On the thread of the job queue."""
        completion = self._completer(request, prior, job)
        if not completion.from_cache:
            self._on_completed(completion)
        return completion

    def _busy(self) -> InstasceneError:
        return InstasceneError(f"{MAX_WAITING} requests wait already: ask again later")

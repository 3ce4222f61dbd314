"""What the managed nodes share: the states of ROS 2's lifecycle, `autostart`, and failures in words."""

from collections.abc import Callable
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from instascene_ros.adapters.logs import forward_logging
from instascene_ros.core.errors import InstasceneError

Managed = TypeVar("Managed", bound="ManagedNode")


class ManagedNode(LifecycleNode):
    """configure = load and be ready, activate = work, deactivate = hold still, cleanup = free all memory.

    A subclass gives these four steps and declares `autostart`; a step that raises leaves the state as it was, and the
    log says why.
    """

    crash: BaseException | None = None

    def __init__(self, name: str) -> None:
        super().__init__(name, namespace="instascene")
        forward_logging(self.get_logger())
        self._failure: Exception | None = None
        self.state = "unconfigured"  # of those that last, the one we are in or leave

    def configure(self) -> None:
        """Load what is needed, or raise; nothing may be left behind then that `cleanup` would not free."""

    def activate(self) -> None:
        """Start to work."""

    def deactivate(self) -> None:
        """Stop to work; keep what is known."""

    def cleanup(self) -> None:
        """Free everything that `configure` made; also called after a `configure` that failed."""

    def start(self) -> None:
        """Configure and activate, unless parameter `autostart` leaves that to a lifecycle manager.

        Raises:
            InstasceneError: why it cannot.
        """
        if not self.get_parameter("autostart").value:
            self.get_logger().info(f"waits to be configured (ros2 lifecycle set {self.full_name} configure)")
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise self._failure or InstasceneError(f"{self.full_name} could not start")

    def close(self) -> None:
        """End the node's work, whatever its state; the process ends next."""
        if self.state != "finalized":
            self.trigger_shutdown()

    @property
    def full_name(self) -> str:
        return self.get_fully_qualified_name()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._attempt("configure", self.configure, "inactive")
        if done != TransitionCallbackReturn.SUCCESS:
            self.cleanup()
        return done

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("activate", self.activate, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("deactivate", self.deactivate, "inactive")

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("cleanup", self.cleanup, "unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt("shutdown", self._release, "finalized")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a bug in a transition: back to the start."""
        return self._attempt("recover", self._release, "unconfigured")

    def _release(self) -> None:
        if self.state == "active":
            self.deactivate()
        self.cleanup()

    def _attempt(self, name: str, step: Callable[[], None], reached: str) -> TransitionCallbackReturn:
        """rclpy drops what a transition raises, so it is said here."""
        try:
            step()
        except InstasceneError as error:
            self._failure = error
            self.get_logger().error(f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self._failure = error
            self.get_logger().fatal(f"{name} failed: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR
        self.state = reached
        self.get_logger().info(f"{reached}")
        return TransitionCallbackReturn.SUCCESS


def started(node: Managed) -> Managed:
    """The node, configured and active where it starts by itself."""
    node.start()
    return node

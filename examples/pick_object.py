#!/usr/bin/env python3
"""Choose an object, have it completed, and say where a gripper could take it. Copy what you need.

    ros2 launch instascene_ros demo.launch.py                  # or: ros2 run instascene_ros mock_server
    python3 examples/pick_object.py                            # the confirmed object nearest to the map's origin
    python3 examples/pick_object.py --id 3 --timeout 60

It shows how to read the latched list, how to call the action with feedback, how to cancel it (Ctrl-C, or the timeout),
and what the answer holds: a mesh in the object's frame, and for every vertex whether a camera has seen it.
"""

import argparse
import sys
import time
from collections.abc import Callable

import rclpy
from geometry_msgs.msg import Point
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future

from instascene_ros.action import CompleteObject
from instascene_ros.msg import CompletedObject, Instance, InstanceArray

# The list is latched: with another durability a client that starts late would wait for the next change.
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class PickObject(Node):
    """A client of the nodes in `namespace`; every call waits in the main thread, which also spins."""

    def __init__(self, namespace: str, timeout_s: float) -> None:
        super().__init__("pick_object", namespace=namespace)
        self._timeout_s = timeout_s
        self._instances: InstanceArray | None = None
        self.create_subscription(InstanceArray, "instances", self._on_instances, LATCHED)
        self._complete = ActionClient(self, CompleteObject, "complete_object")

    def _on_instances(self, message: InstanceArray) -> None:
        self._instances = message

    def confirmed(self) -> InstanceArray:
        """The list, once it holds an instance that was seen often enough to be trusted."""
        self._wait(lambda: self._instances is not None and any(map(is_confirmed, self._instances.instances)),
                   "a confirmed instance: is the scene node running, and has it seen something?")  # fmt: skip
        return self._instances

    def complete(self, instance_id: int, map_id: str) -> CompletedObject:
        """The whole object. `map_id` makes sure that the id still means the same: ids are void after a reset."""
        self._wait(self._complete.server_is_ready, "the completion node")
        goal = CompleteObject.Goal(instance_id=instance_id, map_id=map_id)
        handle = self._result(self._complete.send_goal_async(goal, self._on_feedback), "the goal to be taken")
        if not handle.accepted:
            raise RuntimeError("the completion node refused the goal")
        try:
            future = handle.get_result_async()
            self._wait(lambda: future.done() or not self._complete.server_is_ready(), "the completed object")
            if not future.done():  # nobody would ever answer: DDS takes some 20 s to miss a process that was killed
                raise RuntimeError("the completion node is gone: start it again, and ask again")
            result = future.result().result
        except (KeyboardInterrupt, TimeoutError):
            self._result(handle.cancel_goal_async(), "the goal to be cancelled")  # or it would run to its end unheard
            raise
        if result.error_code:  # the constants are in instascene_ros/srv/CompleteObject.srv
            raise RuntimeError(f"instance {instance_id} was not completed [{result.error_code}]: {result.error_msg}")
        return result.object

    def _on_feedback(self, message: CompleteObject.Impl.FeedbackMessage) -> None:
        feedback = message.feedback
        print(f"  {feedback.progress:4.0%} {feedback.message}", flush=True)

    def _result(self, future: Future, wanted: str) -> object:
        self._wait(future.done, wanted)
        return future.result()

    def _wait(self, condition: Callable[[], bool], wanted: str) -> None:
        deadline_s = time.monotonic() + self._timeout_s
        while not condition():
            rclpy.spin_once(self, timeout_sec=0.1)
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"waited {self._timeout_s:g} s for {wanted}")


def is_confirmed(instance: Instance) -> bool:
    return instance.state == Instance.STATE_CONFIRMED


def nearest(array: InstanceArray) -> Instance:
    """The confirmed instance nearest to the map frame's origin: where an arm has its base, the one within reach."""

    def distance(instance: Instance) -> float:
        c = instance.bbox.center.position
        return (c.x**2 + c.y**2 + c.z**2) ** 0.5

    return min(filter(is_confirmed, array.instances), key=distance)


def seen_vertices(completed: CompletedObject) -> list[bool]:
    """For every vertex of the mesh, in order, whether a camera has seen it. The cloud's points are the vertices."""
    cloud, invented = completed.cloud, CompletedObject.SOURCE_COMPLETED
    offset = next(field.offset for field in cloud.fields if field.name == "source")
    data = bytes(cloud.data)
    values = [data[row * cloud.point_step + offset] for row in range(cloud.width)]
    return [value != invented for value in values]


def seen_span(completed: CompletedObject, axis: str) -> tuple[float, float]:
    """The extent of the seen vertices along an axis of the object, m: what a gripper may rely on."""
    flags = seen_vertices(completed)
    vertices: list[Point] = completed.mesh.vertices
    values = [getattr(vertex, axis) for vertex, seen in zip(vertices, flags, strict=True) if seen]
    return (min(values), max(values)) if values else (0.0, 0.0)


def describe(completed: CompletedObject) -> None:
    p, size = completed.pose.position, completed.size
    print(f"object {completed.instance_id} at ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m in {completed.header.frame_id!r}")
    closed, seen = "watertight" if completed.watertight else "open", f"{completed.observed_fraction:.0%} of it was seen"
    triangles = len(completed.mesh.triangles)
    print(f"  {size.x:.3f} x {size.y:.3f} x {size.z:.3f} m, {triangles} triangles, {closed}, {seen}")
    for axis in ("x", "y"):
        low, high = seen_span(completed, axis)
        print(f"  a gripper closing along its {axis} axis has to open {high - low:.3f} m over what was seen")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--id", type=int, default=0, help="instance to take; 0 = the nearest confirmed one")
    parser.add_argument("--namespace", default="/instascene", help="where the nodes are")
    parser.add_argument("--timeout", type=float, default=120.0, help="patience with each answer, s")
    options, ros_arguments = parser.parse_known_args()
    rclpy.init(args=ros_arguments)
    node = PickObject(options.namespace, options.timeout)
    try:
        array = node.confirmed()
        instance_id = options.id or nearest(array).id
        print(f"{len(array.instances)} instances; completing {instance_id} ...")
        describe(node.complete(instance_id, array.map_id))
    except (RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())

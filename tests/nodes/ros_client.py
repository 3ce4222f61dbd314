"""A client that knows the interfaces and rclpy, nothing else of this package. Prints what it got as one JSON line.

Run as `python ros_client.py`, in the domain of the nodes, whenever: what is latched must still reach it.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from geometry_msgs.msg import Point, PointStamped
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from sensor_msgs.msg import PointCloud2

from instascene_ros.action import CompleteObject as CompleteObjectAction
from instascene_ros.msg import CompletedObject, Instance, InstanceArray
from instascene_ros.srv import CompleteObject, GetInstances

PATIENCE_S = 90.0
LATCHED = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.RELIABLE, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class RobotClient(Node):
    """What a robot's own program would do: look, ask, act."""

    def __init__(self) -> None:
        super().__init__("robot_client", namespace="/instascene")
        self.list: InstanceArray | None = None
        self.points: PointCloud2 | None = None
        self.create_subscription(InstanceArray, "instances", lambda m: setattr(self, "list", m), LATCHED)
        self.create_subscription(PointCloud2, "instances/points", lambda m: setattr(self, "points", m), LATCHED)
        self.ask_list = self.create_client(GetInstances, "get_instances")
        self.ask_object = self.create_client(CompleteObject, "complete_object")
        self.act = ActionClient(self, CompleteObjectAction, "complete_object")

    def until(self, condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            rclpy.spin_once(self, timeout_sec=0.1)
            if time.monotonic() > deadline:
                sys.exit(f"waited {PATIENCE_S} s for {what}")

    def result_of(self, future: Any, what: str) -> Any:
        self.until(future.done, what)
        return future.result()


def about(header: Any) -> dict:
    return {"frame_id": header.frame_id, "stamp_ns": header.stamp.sec * 10**9 + header.stamp.nanosec}


def object_row(message: CompletedObject) -> dict:
    q, p = message.pose.orientation, message.pose.position
    return {
        **about(message.header), "id": message.instance_id, "watertight": message.watertight,
        "center_m": [p.x, p.y, p.z], "quat_norm": (q.w**2 + q.x**2 + q.y**2 + q.z**2) ** 0.5,
        "size_m": [message.size.x, message.size.y, message.size.z], "faces": len(message.mesh.triangles),
        "cloud_points": message.cloud.width, "observed_fraction": message.observed_fraction,
    }  # fmt: skip


def look(client: RobotClient) -> dict:
    client.until(lambda: client.list and client.points, "latched instances and points")
    confirmed = [one for one in client.list.instances if one.state == Instance.STATE_CONFIRMED]
    boxes = {one.id: one.bbox.center.position for one in confirmed}
    return {
        "instances": about(client.list.header), "points": about(client.points.header), "map_id": client.list.map_id,
        "fields": [field.name for field in client.points.fields], "num_points": client.points.width,
        "centers_m": {i: [p.x, p.y, p.z] for i, p in boxes.items()},
    }  # fmt: skip


def ask(client: RobotClient, instance_id: int) -> dict:
    client.until(lambda: client.ask_list.service_is_ready() and client.ask_object.service_is_ready(), "services")
    listed = client.result_of(client.ask_list.call_async(GetInstances.Request(include_clouds=True)), "get_instances")
    request = CompleteObject.Request(instance_id=instance_id, map_id=client.list.map_id)
    answer = client.result_of(client.ask_object.call_async(request), "complete_object")
    far = PointStamped(point=Point(x=50.0))
    nothing = CompleteObject.Request(select_by=CompleteObject.Request.SELECT_POINT, point=far)
    refused = client.result_of(client.ask_object.call_async(nothing), "complete_object of nothing")
    return {
        "refused": [refused.error_code, refused.error_msg],
        "listed": [one.id for one in listed.instances.instances],
        "cloud_points": [cloud.cloud.width for cloud in listed.clouds],
        "error": answer.error_msg,
        "object": object_row(answer.object),
    }


def act(client: RobotClient, instance_id: int, cancel: bool) -> dict:
    client.until(client.act.server_is_ready, "the action server")
    feedback: list[tuple[int, float]] = []
    goal = CompleteObjectAction.Goal(instance_id=instance_id, seed=5)
    sent = client.act.send_goal_async(goal, lambda m: feedback.append((m.feedback.stage, m.feedback.progress)))
    handle = client.result_of(sent, "the goal's acceptance")
    if cancel:
        client.until(lambda: feedback, "the first feedback")
        client.result_of(handle.cancel_goal_async(), "the cancel")
    ended = client.result_of(handle.get_result_async(), "the goal's end")
    result = ended.result
    return {
        "status": ended.status, "code": result.error_code, "error": result.error_msg, "feedback": feedback,
        "object": object_row(result.object),
    }  # fmt: skip


def main() -> None:
    rclpy.init()
    client = RobotClient()
    seen = look(client)
    first, second, third = sorted(seen["centers_m"])[:3]
    told = {
        "seen": seen,
        "asked": ask(client, first),
        "acted": act(client, second, cancel=False),
        "cancelled": act(client, third, cancel=True),
    }
    client.destroy_node()
    rclpy.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()

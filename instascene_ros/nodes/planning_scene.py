"""Node `planning_scene`: keeps the objects in MoveIt's planning scene equal to those of the map."""

import sys
from time import monotonic
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import PointCloud2

from instascene_ros.adapters.adapter_configs import PlanningSceneNodeConfig
from instascene_ros.adapters.collision_messages import scene_diff
from instascene_ros.adapters.logs import ThrottledLog
from instascene_ros.adapters.optional_messages import messages_of
from instascene_ros.adapters.parameters import declare
from instascene_ros.adapters.planner_world import PlannerWorld
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.spinning import run
from instascene_ros.core.planning_changes import Change, Names, Told, changes_between, told_after
from instascene_ros.msg import CompletedObject, InstanceArray


class PlanningSceneNode(Node):
    """Asks for the planner's objects, then applies the difference, by services: topics lose updates.

    Everything runs on the executor's one thread, and one round at a time is under way.
    """

    crash: BaseException | None = None

    def __init__(self) -> None:
        super().__init__("planning_scene", namespace="instascene")
        self._config = config = declare(self, PlanningSceneNodeConfig)
        self._msg = messages_of("moveit_msgs", "msg", "planning_scene")
        self._srv = messages_of("moveit_msgs", "srv", "planning_scene")
        self._names = Names(config.prefix)
        self._world = PlannerWorld(config, self._names)
        self._told: dict[str, Told] = {}
        self._asked: tuple[Client, Future, float] | None = None  # and until when it may take
        self._warn = ThrottledLog(self.get_logger().warning)
        move_group = config.move_group_namespace.rstrip("/")
        self._get = self.create_client(self._srv.GetPlanningScene, f"{move_group}/get_planning_scene")
        self._apply = self.create_client(self._srv.ApplyPlanningScene, f"{move_group}/apply_planning_scene")
        self.create_subscription(InstanceArray, "instances", self._world.on_instances, latched_qos())
        self.create_subscription(CompletedObject, "completed_objects", self._world.on_completed, latched_qos(32))
        if config.geometry != "box":
            self.create_subscription(PointCloud2, "instances/points", self._world.on_points, latched_qos())
        self.create_timer(config.period_s, self._start_round)
        self.get_logger().info(f"objects go to {self._apply.srv_name} as {config.geometry}")

    def close(self) -> None:
        """Nothing to stop. The objects stay in the planner's world: it is safer to know of one that is gone."""

    def _start_round(self) -> None:
        if self._asked:
            self._give_up_when_late(*self._asked)
        elif self._world.array is None:
            self._warn("instances", f"waiting for {self.resolve_topic_name('instances')}: is the scene node running?")
        elif not self._get.service_is_ready() or not self._apply.service_is_ready():
            self._warn(
                "move_group", f"waiting for {self._get.srv_name} and {self._apply.srv_name}: is move_group running?"
            )
        else:
            known = self._msg.PlanningSceneComponents
            request = self._srv.GetPlanningScene.Request()
            request.components.components = known.WORLD_OBJECT_NAMES | known.ROBOT_STATE_ATTACHED_OBJECTS
            self._ask(self._get, request, self._on_scene)

    def _ask(self, client: Client, request: Any, answered: Any) -> None:
        future = client.call_async(request)
        self._asked = client, future, monotonic() + self._config.timeout_s
        future.add_done_callback(lambda done: self._on_answer(done, answered))

    def _on_answer(self, done: Future, answered: Any) -> None:
        if self._asked is None or self._asked[1] is not done:
            return  # too late: given up
        self._asked = None
        answered(done.result())

    def _give_up_when_late(self, client: Client, future: Future, last_s: float) -> None:
        if monotonic() > last_s:
            self._asked, self._told = None, {}  # what it did of the request is unknown: tell everything anew
            client.remove_pending_request(future)
            self._warn("late", f"{client.srv_name} did not answer within {self._config.timeout_s:g} s (timeout_s)")

    def _on_scene(self, response: Any) -> None:
        scene = response.scene
        world = [one.id for one in scene.world.collision_objects]
        wanted = self._world.wanted()
        for name, reason in self._world.unusable.items():
            self._warn(name, f"{name} is left as it is: {reason}")
        # Nobody's business: what the robot holds, and what we cannot make sense of.
        alone = [one.object.id for one in scene.robot_state.attached_collision_objects] + list(self._world.unusable)
        changes = changes_between(wanted, self._told, world, alone, self._names)
        self._told = told_after([], self._told, alone, wanted)
        if changes:
            request = self._srv.ApplyPlanningScene.Request()
            request.scene = scene_diff(self._msg, changes, self._world.array.header)
            self._ask(self._apply, request, lambda done: self._on_applied(done, changes, alone, list(wanted)))

    def _on_applied(self, response: Any, changes: list[Change], alone: list[str], names: list[str]) -> None:
        if response.success:
            self._told = told_after(changes, self._told, alone, names)
            return
        self._told = {}
        frame = self._world.array.header.frame_id
        self._warn("refused", f"MoveIt refused {len(changes)} changes: does it know frame {frame!r} (map_frame)?")


def main() -> None:
    """Run the node until Ctrl-C."""
    sys.exit(run(PlanningSceneNode, num_threads=1))


if __name__ == "__main__":
    main()

"""The segmentation node as a process, over DDS: images in, masks of the same stamp and size out, the rest counted."""

from collections.abc import Iterator

import pytest
from harness import Client, client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fake_segmentation import CRASH_BLUE, SLOW_BLUE
from folders import write_scene
from lifecycle_calls import ManagedClient
from rclpy.qos import QoSProfile
from scenes import tabletop, three_objects
from sensor_msgs.msg import CameraInfo, Image

from instascene_ros.adapters.images import decode_labels, encode
from instascene_ros.adapters.qos import latched_qos
from instascene_ros.adapters.stamps import ns_of_stamp
from instascene_ros.msg import Instance, InstanceArray

RELIABLE = QoSProfile(depth=20)
COLOUR_ALONE = {"segmenter": "sam2"}


@pytest.fixture
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


class Camera:
    """A camera's driver, and whoever listens to its masks."""

    def __init__(self, ros: Client, name: str = "camera", depth: bool = True) -> None:
        def publisher(kind: type, stream: str):
            return ros.node.create_publisher(kind, f"{name}/{stream}", RELIABLE)

        self.color = publisher(Image, "color/image")
        self.info, self.depth = publisher(CameraInfo, "color/camera_info"), publisher(Image, "depth/image")
        self.masks: list[Image] = ros.collect(Image, f"{name}/masks/image", RELIABLE)
        self.diagnostics: list[DiagnosticArray] = ros.collect(DiagnosticArray, "/diagnostics", RELIABLE)
        used = [self.color, self.info, self.depth] if depth else [self.color]
        wait_until(lambda: all(p.get_subscription_count() for p in used), 90, lambda: "the node's subscriptions")
        wait_until(lambda: self.diagnostics, 90, lambda: "diagnostics")

    def send(self, stamp_ms: int, color: Image | None = None) -> None:
        self.info.publish(made.info(stamp_ms))
        self.depth.publish(made.depth(stamp_ms))
        self.color.publish(color or made.color(stamp_ms, (stamp_ms % 100 + 1, 0, 0)))

    def wait(self, count: int) -> list[Image]:
        wait_until(lambda: len(self.masks) >= count, 90, lambda: f"{count} masks; {self.told()}")
        return self.masks

    def told(self) -> dict[str, str]:
        """What the diagnostics say of the node itself."""
        status = self.diagnostics[-1].status[0]
        return {"message": status.message, **{value.key: value.value for value in status.values}}

    def wait_told(self, **values: object) -> dict[str, str]:
        def reached() -> bool:
            return all(self.told()[name] == str(value) for name, value in values.items())

        wait_until(reached, 90, lambda: f"{values} in {self.told()}")
        return self.told()


def test_masks_have_stamp_frame_and_size_of_the_image(ros: Client) -> None:
    with node_process("fake_segmentation"):
        camera = Camera(ros)
        camera.send(1001)
        message = camera.wait(1)[0]
        assert message.header == made.header(1001)
        assert (message.encoding, message.width, message.height) == ("16UC1", 16, 12)
        labels = decode_labels(message)
        assert (labels[:, :8] == 2).all() and not labels[:, 8:].any()
        camera.send(1102, made.color(1102, (200, 0, 0)))
        assert decode_labels(camera.wait(2)[1])[0, 0] == 200
        told = camera.wait_told(received=2, segmented=2, dropped_busy=0, dropped_invalid=0)
        assert float(told["segment_ms"]) > 0 and told["message"] == "ok"


def test_a_network_needs_no_depth_and_follows_the_image_size(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE):
        camera = Camera(ros, depth=False)
        for count, (width, height) in enumerate([(16, 12), (40, 30), (20, 10)], start=1):
            camera.color.publish(made.color(1000 + 100 * count, (9, 0, 0), width, height))
            message = camera.wait(count)[-1]
            assert (message.width, message.height) == (width, height)
            assert (decode_labels(message)[:, : width // 2] == 9).all()


def test_without_depth_the_geometric_one_says_what_it_waits_for(ros: Client) -> None:
    with node_process("fake_segmentation", {"watchdog_period_s": 0.5}) as node:
        camera = Camera(ros)
        ros.node.destroy_publisher(camera.depth)
        camera.color.publish(made.color(1000))
        node.wait_for_output("camera/depth/image: no publisher")
        assert camera.masks == []
        wait_until(lambda: "depth/image" in camera.told()["message"], 90, lambda: str(camera.told()))
        assert camera.diagnostics[-1].status[0].level == DiagnosticStatus.WARN


def test_an_image_that_cannot_be_used_is_counted_and_the_next_is_segmented(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE) as node:
        camera = Camera(ros, depth=False)
        bayer = made.color(1000)
        bayer.encoding = "bayer_rggb8"
        camera.color.publish(bayer)
        told = camera.wait_told(dropped_invalid=1)
        assert "camera/color/image" in told["last_invalid"] and "bayer_rggb8" in told["last_invalid"]
        node.wait_for_output("camera: image dropped: camera/color/image")
        camera.color.publish(encode(np.full((12, 16), 7, np.uint8), "mono8", made.header(1100)))
        assert decode_labels(camera.wait(1)[0])[0, 0] == 7


def test_the_newest_wins_and_what_it_replaced_is_counted(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE):
        camera = Camera(ros, depth=False)
        camera.color.publish(made.color(1000, (1, 0, SLOW_BLUE)))
        wait_until(lambda: int(camera.told()["received"]) == 1, 90, lambda: "the slow image")
        for k in range(1, 6):
            camera.color.publish(made.color(1000 + 100 * k, (1 + k, 0, 0)))
        assert [decode_labels(m)[0, 0] for m in camera.wait(2)] == [1, 6]
        camera.wait_told(received=6, segmented=2, dropped_busy=4)


def test_the_rate_is_limited_by_stamps_and_can_be_changed(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE | {"max_rate_hz": 5.0}):
        camera = Camera(ros, depth=False)
        for k in range(6):
            camera.color.publish(made.color(1000 + 100 * k))
            camera.wait(k // 2 + 1)
        assert [ns_of_stamp(m.header.stamp) // 10**6 for m in camera.masks] == [1000, 1200, 1400]
        camera.wait_told(segmented=3, dropped_rate=3)
        assert ManagedClient(ros, "segmentation").set(max_rate_hz=0.0) == ""
        camera.color.publish(made.color(1510))
        camera.wait(4)


def test_two_cameras_have_masks_of_their_own(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE | {"cameras": ["left", "right"]}):
        left, right = (Camera(ros, name, depth=False) for name in ("left", "right"))
        for k in range(3):
            left.color.publish(made.color(1000 + 100 * k, (10 + k, 0, 0)))
            right.color.publish(made.color(1000 + 100 * k, (20 + k, 0, 0)))
            left.wait(k + 1), right.wait(k + 1)
        assert [decode_labels(m)[0, 0] for m in left.masks] == [10, 11, 12]
        assert [decode_labels(m)[0, 0] for m in right.masks] == [20, 21, 22]


def test_states_and_a_model_that_is_not_there(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE | {"autostart": False, "networks.model": "nowhere"}) as node:
        managed = ManagedClient(ros, "segmentation")
        node.wait_for_output("waits to be configured")
        assert not managed.change("configure") and managed.state == "unconfigured"
        node.wait_for_output("cannot configure: sam2: no weights in 'nowhere'")
        assert managed.set(networks__model="somewhere") == ""
        assert managed.change("configure")
        assert "networks.model: read when the node is configured" in managed.set(networks__model="")
        assert ros.node.count_subscribers("/instascene/camera/color/image") == 0
        assert managed.change("activate")
        camera = Camera(ros, depth=False)
        camera.color.publish(made.color(1000))
        camera.wait(1)
        assert managed.change("deactivate")
        wait_until(lambda: not camera.color.get_subscription_count(), 90, lambda: "no subscription")
        assert managed.change("cleanup")
        wait_until(lambda: not ros.node.count_publishers("/instascene/camera/masks/image"), 90, lambda: "no publisher")


def test_a_model_that_is_not_there_ends_a_node_that_starts_itself() -> None:
    with node_process("fake_segmentation", {"networks.model": "nowhere"}) as node:
        wait_until(lambda: node.process.poll() is not None, 90, lambda: "the process to end")
        assert node.stop() == 2
        assert "cannot start: geometric: no weights in 'nowhere'" in node.output and "Traceback" not in node.output


def test_a_bug_of_the_segmenter_ends_the_node_with_its_traceback(ros: Client) -> None:
    with node_process("fake_segmentation", COLOUR_ALONE) as node:
        camera = Camera(ros, depth=False)
        camera.color.publish(made.color(1000, (1, 0, CRASH_BLUE)))
        wait_until(lambda: node.process.poll() is not None, 90, lambda: f"the process to end: {node.output}")
        assert node.stop() == 1 and "ZeroDivisionError: a bug" in node.output


def test_the_scene_node_maps_what_the_real_node_segments(ros: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = tabletop(three_objects(), num_frames=24, width=160)
    folder = write_scene(tmp_path_factory.mktemp("recorded"), scene.frames)
    playing = {"scene": str(folder), "rate": 0.3, "loop": True, "wait_for_subscribers": True}
    with (
        node_process("instascene_ros.nodes.segmentation") as segmentation,
        node_process("instascene_ros.nodes.scene", {"device": "cpu", "masks": "topic"}) as mapper,
    ):
        segmentation.wait_for_output("segments the images of camera with 'geometric'", 180)
        mapper.wait_for_output("mapping in frame", 180)
        arrays: list[InstanceArray] = ros.collect(InstanceArray, "instances", latched_qos())
        with node_process("instascene_ros.nodes.player", playing):

            def objects() -> list[Instance]:
                listed = arrays[-1].instances if arrays else []
                return [one for one in listed if one.state == Instance.STATE_CONFIRMED]

            wait_until(lambda: len(objects()) >= 3, 180, lambda: f"three confirmed instances: {segmentation.output}")
        assert "Traceback" not in segmentation.output + mapper.output
        centers = [(mesh.vertices_m.min(0) + mesh.vertices_m.max(0)) / 2 for mesh in scene.objects.values()]
        for center_m in centers:
            p = min(
                (one.bbox.center.position for one in objects()),
                key=lambda p: np.linalg.norm([p.x, p.y, p.z] - center_m),
            )
            assert np.linalg.norm([p.x, p.y, p.z] - center_m) < 0.03

"""Faults, many times over, and memory over a long loop: minutes to hours, so only when asked for.

`SOAK_TABLE=faults.md python -m pytest tests/soak -c tests/pytest.ini -m soak`; SOAK_TIMES scales the counts. Each test
adds a row to the table: fault, times, nodes alive, data lost, what else was seen.
"""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Client, NodeProcess, client, node_process, require_ros, wait_until

require_ros()

import camera_messages as made
import numpy as np
from camera_driver import CameraDriver
from faults import memory_mb, row, times
from lifecycle_calls import ManagedClient
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger

from instascene_ros.adapters.node_config import SceneNodeConfig
from instascene_ros.adapters.parameters import flatten
from instascene_ros.core.config import Config
from instascene_ros.srv import CompleteObject, EditInstances, GetInstances, LoadMap, SaveMap

pytestmark = pytest.mark.soak
START_S = 300.0  # of the real scene node, which compiles what it needs
FAKE = {"masks": "topic", "watchdog_period_s": 0.0, "max_pose_jump_m": 0.0}


@pytest.fixture(scope="module")
def ros() -> Iterator[Client]:
    with client() as running:
        yield running


@pytest.fixture
def node(ros: Client) -> Iterator[NodeProcess]:
    with node_process("fake_scene", FAKE) as running:
        yield running


@pytest.fixture
def driver(ros: Client, node: NodeProcess) -> CameraDriver:
    driver = CameraDriver(ros)
    driver.wait_for_node()
    return driver


def listed(ros: Client, **fields: object) -> GetInstances.Response:
    return ros.call(GetInstances, "get_instances", GetInstances.Request(**fields))


def reset(ros: Client) -> None:
    assert ros.call(Trigger, "reset", Trigger.Request()).success


def still_maps(ros: Client, driver: CameraDriver) -> None:
    """A good frame after all that is mapped."""
    before = driver.status.frames_integrated
    for _ in range(50):
        driver.send()
        time.sleep(0.1)
        if driver.status.frames_integrated > before:
            return
    wait_until(lambda: driver.status.frames_integrated > before, 60, lambda: f"a frame: {driver.status}")


def test_ten_times_the_frame_rate(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count = times(3000)
    with row("300 Hz input, 16x12 px", count, node) as seen:
        for _ in range(count):
            driver.send()
            time.sleep(1 / 300)
        still_maps(ros, driver)
        s = driver.status
        assert s.frames_integrated + s.dropped_busy + s.dropped_stale + s.dropped_no_pose <= s.frames_received
        seen.append(f"{s.frames_received} received, {s.frames_integrated} mapped, {s.dropped_busy} busy")


def test_three_cameras_of_4k(ros: Client) -> None:
    count, names = times(30), ["left", "right", "top"]
    width, height = 3840, 2160
    parameters = {"cameras": names, "masks": "segmenter", "mapping.width_px": 160, "max_pose_jump_m": 0.0}
    with node_process("instascene_ros.nodes.scene", parameters) as node:
        node.wait_for_output("active", START_S)
        drivers = [CameraDriver(ros, camera=name) for name in names]
        for driver in drivers:
            driver.wait_for_node("masks")
        camera = made.CAMERA.scaled_to_width(width)
        rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
        with row("3 cameras of 3840x2160 px, as fast as they can", 3 * count, node) as seen:
            for i in range(count):
                for driver in drivers:
                    t = driver.stamp_ms + 100
                    color, depth = made.encode(rgb, "rgb8", made.header(t)), made.depth(t, 1.0, width, height)
                    info = made.info(t, made.Camera(camera.fx, camera.fy, camera.cx, camera.cy, width, height))
                    pose = made.pose(t, 0.03 * i)
                    driver.send(t, color=color, depth=depth, info=info, pose=pose, masks=None)
            wait_until(lambda: drivers[0].status.frames_integrated >= 3, 120, lambda: f"frames: {drivers[0].status}")
            assert listed(ros).error_code == 0
            s = drivers[0].status
            seen.append(
                f"{s.frames_received} received, {s.frames_integrated} mapped, {memory_mb(node):.0f} MB resident"
            )


def test_a_subscriber_that_does_not_read(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    """A process that subscribes to everything large, and is then stopped (SIGSTOP)."""
    count = times(300)
    with node_process("deaf_subscriber") as deaf, row("subscriber that stands still, frames sent", count, node) as seen:
        deaf.wait_for_output("listening")
        deaf.process.send_signal(signal.SIGSTOP)
        before = driver.status.frames_integrated
        for _ in range(count):
            driver.send()
            time.sleep(0.03)
        still_maps(ros, driver)
        seen.append(f"{driver.status.frames_integrated - before} mapped meanwhile")
        assert driver.status.frames_integrated - before > count / 3
        deaf.process.send_signal(signal.SIGCONT)


def test_a_hundred_resets(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count = times(100)
    with row("reset while frames stream", count, node) as seen:
        ids, memory = set(), []
        for _ in range(count):
            for _ in range(5):
                driver.send()
            reset(ros)
            ids.add(listed(ros).instances.map_id)
            memory.append(memory_mb(node))
        still_maps(ros, driver)
        assert len(ids) == count
        seen.append(f"resident {memory[count // 5]:.0f} -> {memory[-1]:.0f} MB")
        assert memory[-1] < memory[count // 5] + 10


def test_clocks_that_jump(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count = times(60)
    with row("time jumps by -1 h to +1 h", count, node) as seen:
        rng = random.Random(0)
        for _ in range(count):
            driver.stamp_ms = max(10_000, driver.stamp_ms + rng.randrange(-3_600_000, 3_600_000))
            for _ in range(3):
                driver.send()
                time.sleep(0.02)
        still_maps(ros, driver)
        wait_until(
            lambda: abs(listed(ros).instances.header.stamp.sec * 1000 - driver.stamp_ms) < 7000,
            60,
            lambda: "the new time",
        )
        seen.append(f"{node.output.count('time restarted')} told (throttled)")


def test_noise_in_the_domain(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    """Participants that come and go, other types on our topics, other topics."""
    count = times(20)
    with row("participants that come, publish other types on our topics, and go", count, node):
        for i in range(count):
            with client(f"/noise{i % 3}") as noise:
                wrong = [
                    noise.node.create_publisher(kind, topic, 10)
                    for kind, topic in [
                        (String, "/instascene/camera/color/image"), (Image, "/instascene/camera/pose"),
                        (CameraInfo, "/instascene/camera/depth/image"), (PointCloud2, "/instascene/instances"),
                    ]
                ]  # fmt: skip
                for _ in range(5):
                    for publisher in wrong:
                        publisher.publish(publisher.msg_type())
                    driver.send()
                    time.sleep(0.05)
        still_maps(ros, driver)


def random_set(rng: random.Random, t: int) -> dict[str, object]:
    """A set of messages of which one or two fields are nonsense."""
    messages = {"pose": made.pose(t), "info": made.info(t), "color": made.color(t), "depth": made.depth(t)}
    messages["masks"] = made.labels(t)
    numbers = [float("nan"), float("inf"), -1.0, 0.0, 1e300, 1e-300]
    for name in rng.sample(list(messages), rng.randint(1, 2)):
        message = messages[name]
        if name == "pose":
            target = rng.choice([message.pose.position, message.pose.orientation])
            setattr(target, rng.choice("xyz"), rng.choice(numbers))
        elif name == "info":
            k = message.k.copy()
            k[rng.randrange(9)] = rng.choice(numbers)
            message.k = k
        else:
            field = rng.choice(["height", "width", "step", "encoding", "data", "is_bigendian"])
            values = {"encoding": ["", "yuv422", "32FC1", "mono8"], "data": [b"", b"1" * 7], "is_bigendian": [1, 255]}
            setattr(message, field, rng.choice(values.get(field, [0, 1, 7, 2**16, 2**31, 2**32 - 1])))
        if rng.random() < 0.2:
            message.header.frame_id = rng.choice(["", "/odom", "x" * 2000])
        if rng.random() < 0.1:
            message.header.stamp.sec = rng.choice([-(2**31), -1, 0, 2**31 - 1])
    return messages


def test_nonsense_in_the_messages(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count, rng = times(1000), random.Random(1)
    with row("messages with nonsense in their fields", count, node) as seen:
        for _ in range(count):
            t = driver.stamp_ms + 100
            driver.send(t, **random_set(rng, t))
            time.sleep(0.01)
        driver.stamp_ms += 10_000
        still_maps(ros, driver)
        cloud = listed(ros, include_clouds=True)
        assert all(np.isfinite(one.centroid.x) for one in cloud.instances.instances)
        s = driver.status
        seen.append(f"{s.frames_integrated} mapped, {s.dropped_invalid} invalid, {s.dropped_no_pose} without pose")


def test_nonsense_in_the_requests(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count, rng = times(300), random.Random(2)
    driver.send()
    wait_until(lambda: listed(ros).instances.instances, 90, lambda: "an instance")
    with row("requests with nonsense in their fields", count, node) as seen:
        refused = 0
        for _ in range(count):
            ids = [rng.choice([0, 1, 99, 2**32 - 1]) for _ in range(rng.randint(0, 3))]
            request = rng.choice([
                GetInstances.Request(ids=ids, target_frame=rng.choice(["", "x"])),
                EditInstances.Request(operation=rng.choice([1, 2, 3, 255]), ids=ids, name="\u00fc" * 3000),
                LoadMap.Request(url=rng.choice(["", "/", "/dev/zero", "/dev/null", "file:///etc/passwd", "x" * 5000])),
                SaveMap.Request(url=rng.choice(["", "/proc/x", "/dev/null", "file://host/x", "/sys/x", "\u00fc"])),
            ])  # fmt: skip
            kind, name = {
                GetInstances.Request: (GetInstances, "get_instances"),
                EditInstances.Request: (EditInstances, "edit_instances"),
                LoadMap.Request: (LoadMap, "load_map"), SaveMap.Request: (SaveMap, "save_map"),
            }[type(request)]  # fmt: skip
            answer = ros.call(kind, name, request)
            refused += answer.error_code != 0
            assert answer.error_code == 0 or answer.error_msg
        assert [one.id for one in listed(ros).instances.instances] == [10]
        still_maps(ros, driver)
        seen.append(f"{refused} refused in words")


def test_nonsense_in_the_parameters(ros: Client, node: NodeProcess, driver: CameraDriver) -> None:
    count, rng, scene = times(400), random.Random(3), ManagedClient(ros, "scene")
    names = [*flatten(SceneNodeConfig()), *flatten(Config()), "use_sim_time_", "no.such", ""]
    values = [
        0,
        -1,
        2**63 - 1,
        0.0,
        -0.5,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x" * 3000,
        True,
        [1.0],
        ["a", "a"],
        [0],
    ]
    before = scene.dump()
    with row("parameters set to nonsense", count, node) as seen:
        refused = 0
        for _ in range(count):
            name, value = rng.choice(names), rng.choice(values)
            refused += scene.set(**{name: value}) != ""
        restored = {n: v for n, v in before.items() if scene.dump()[n] != v}
        seen.append(f"{refused} refused, {len(restored)} taken")
        assert all(scene.set(**{n.replace(".", "__"): v}) == "" for n, v in restored.items())
        still_maps(ros, driver)


def test_damaged_maps(ros: Client, node: NodeProcess, driver: CameraDriver, tmp_path: Path) -> None:
    count, rng = times(200), random.Random(4)
    driver.send()
    wait_until(lambda: listed(ros).instances.instances, 90, lambda: "an instance")
    assert ros.call(SaveMap, "save_map", SaveMap.Request(url=str(tmp_path / "whole"))).error_code == 0
    whole = (tmp_path / "whole" / "map.npz").read_bytes()
    with row("load of a map with bytes changed or cut off", count, node) as seen:
        loaded = 0
        for i in range(count):
            damaged = bytearray(whole)
            for _ in range(rng.randint(0, 8)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            damaged = damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])]
            folder = tmp_path / str(i)
            folder.mkdir()
            (folder / "map.npz").write_bytes(damaged)
            answer = ros.call(LoadMap, "load_map", LoadMap.Request(url=str(folder)))
            loaded += answer.error_code == 0
            assert answer.error_code == 0 or "cannot be read" in answer.error_msg
            assert [one.id for one in listed(ros).instances.instances] == [10]
        still_maps(ros, driver)
        seen.append(f"{count - loaded} refused in words, {loaded} whole enough")


def ask_again(ros: Client, request: CompleteObject.Request) -> CompleteObject.Response:
    """DDS believes in a killed node for 20 s, and what is asked meanwhile may be lost: a client asks again."""
    service = ros.node.create_client(CompleteObject, "complete_object")
    for _ in range(20):
        asked = service.call_async(request)
        for _ in range(50):
            if asked.done():
                ros.node.destroy_client(service)
                return asked.result()
            time.sleep(0.1)
    pytest.fail("no answer of complete_object")


def test_nodes_that_are_killed_and_started_again(ros: Client, tmp_path: Path) -> None:
    """The map lives in the scene node: what was saved is whole after any kill; the other node goes on by itself."""
    count, request = times(5), CompleteObject.Request(instance_id=1)
    with node_process("instascene_ros.nodes.completion") as completion:
        completion.wait_for_output("completes objects", START_S)
        with row("kill -9 of the scene node, started again from its saved map", count, completion):
            for i in range(count):
                start = {**FAKE, "load_map": str(tmp_path)} if i else FAKE
                with node_process("fake_scene", start) as scene:
                    driver = CameraDriver(ros)
                    driver.wait_for_node()
                    assert not i or len(listed(ros).instances.instances) == 1
                    driver.send()
                    wait_until(lambda n=i: listed(ros).instances.instances[0].num_points > n, 90, lambda: "a point")
                    asked = ask_again(ros, request)
                    assert asked.error_code == CompleteObject.Response.NO_SUCH_INSTANCE, asked.error_msg
                    assert (
                        ros.call(SaveMap, "save_map", SaveMap.Request(url=str(tmp_path), overwrite=True)).error_code
                        == 0
                    )
                    scene.process.kill()
                    scene.process.wait()
    with (
        node_process("fake_scene", {**FAKE, "load_map": str(tmp_path)}) as scene,
        row("kill -9 of the completion node, started again", count, scene),
    ):
        for _ in range(count):
            with node_process("instascene_ros.nodes.completion") as completion:
                completion.wait_for_output("completes objects")
                asked = ask_again(ros, request)
                assert asked.error_code == CompleteObject.Response.NO_SUCH_INSTANCE, asked.error_msg
                completion.process.kill()
                completion.process.wait()
        assert len(listed(ros).instances.instances) == 1


def test_many_completions(ros: Client, tmp_path: Path) -> None:
    from completion_calls import completion_stack

    count = times(60)
    with completion_stack("") as stack, row("completions of known objects", count, stack.completion) as seen:
        memory = []
        for i in range(count):
            answer = stack.call(instance_id=1 + i % 3, seed=i, max_faces=500)
            assert answer.error_code == 0 and answer.object.watertight, answer.error_msg
            memory.append(memory_mb(stack.completion))
        seen.append(f"resident {memory[count // 3]:.0f} -> {memory[-1]:.0f} MB")
        again = times(1000)
        for i in range(again):
            answer = stack.call(instance_id=1 + i % 3, seed=count - 3 + i % 3, max_faces=500)
            assert answer.error_code == 0 and answer.from_cache == (i >= 3 or answer.from_cache)
        seen.append(f"{again} more from the cache, {memory_mb(stack.completion):.0f} MB")


def test_lives_of_a_managed_node(ros: Client, node: NodeProcess) -> None:
    count, scene = times(100), ManagedClient(ros, "scene")
    with row("deactivate, cleanup, configure, activate", count, node) as seen:
        memory = []
        for _ in range(count):
            assert all(scene.change(step) for step in ("deactivate", "cleanup", "configure", "activate"))
            memory.append(memory_mb(node))
        seen.append(f"resident {memory[count // 5]:.0f} -> {memory[-1]:.0f} MB")


def test_memory_over_a_long_loop(ros: Client) -> None:
    """The sample played over and over; the slope is that of the last half. Small bounds are reached soon."""
    from long_loop import watched_loop

    minutes = times(20)
    bounds = {"mapping.max_gaussians": 20_000, "mapping.max_keyframes": 20, "mapping.width_px": 160}
    parameters = {"masks": "topic", "max_pose_jump_m": 0.0, **bounds}
    with (
        node_process("instascene_ros.nodes.scene", parameters) as node,
        row("the sample over and over, minutes", minutes, node) as seen,
    ):
        seen.append(watched_loop(ros, node, minutes * 60.0))

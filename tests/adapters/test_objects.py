"""An observation that travels as a message and comes back is the same observation."""

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("instascene_ros.srv", reason="the interfaces are not built: make test builds them")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from instascene_ros.adapters.clouds import columns_of
from instascene_ros.adapters.objects import SURFEL_FIELDS, fill_observation, gaussians_of, observation_of, surfel_cloud
from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError
from instascene_ros.core.gaussian_map import GaussianMap
from instascene_ros.core.objects import MASK_OBJECT, MASK_OCCLUDED, ObjectObservation, ObjectView
from instascene_ros.srv import ObserveObject

HEADER = Header(frame_id="odom")


def surfels(count: int, seed: int = 0) -> GaussianMap:
    rng = np.random.default_rng(seed)

    def random(*shape: int, low: float = 0.1, high: float = 0.9) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))

    quats = torch.nn.functional.normalize(random(count, 4, low=-1.0, high=1.0), dim=-1)
    return GaussianMap.from_surfels(
        random(count, 3), quats, random(count, 2, low=1e-3, high=1e-2), random(count), random(count, 3)
    )


def view(width: int = 7, height: int = 5) -> ObjectView:
    rng = np.random.default_rng(1)
    mask = np.zeros((height, width), np.uint8)
    mask[1:3, 2:5], mask[3, 2:5] = MASK_OBJECT, MASK_OCCLUDED
    T_world_camera = np.eye(4)
    T_world_camera[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    T_world_camera[:3, 3] = [0.1, -0.2, 0.3]
    depth_m = rng.uniform(0.3, 1.0, (height, width)).astype(np.float32)
    depth_m[0] = 0
    rgb = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    # A crop's principal point may lie outside of it.
    return ObjectView(Camera(525.0, 520.0, -12.5, 40.25, width, height), rgb, depth_m, mask, T_world_camera)


def observation(num_surfels: int = 50, num_context: int = 20) -> ObjectObservation:
    up = np.array([0.0, 0.0, 1.0])
    return ObjectObservation("map-a", 7, 3, surfels(num_surfels), surfels(num_context, 2), (view(), view(9, 4)), up)


def over_the_wire(given: ObjectObservation) -> ObserveObject.Response:
    response = ObserveObject.Response()
    response.instance.id, response.instance.revision = given.instance_id, given.instance_revision
    fill_observation(response, given, HEADER)
    return deserialize_message(serialize_message(response), ObserveObject.Response)


def assert_same_surfels(got: GaussianMap, expected: GaussianMap) -> None:
    for name in ("means_m", "quats_wxyz", "colors"):
        assert torch.equal(getattr(got, name), getattr(expected, name)), name
    torch.testing.assert_close(got.scales_m, expected.scales_m, rtol=1e-5, atol=0)
    torch.testing.assert_close(got.opacities, expected.opacities, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("num_surfels", "num_context"), [(50, 20), (1, 0), (0, 0)])
def test_an_observation_survives_the_wire(num_surfels: int, num_context: int) -> None:
    given = observation(num_surfels, num_context)
    got = observation_of(over_the_wire(given))
    assert (got.map_id, got.instance_id, got.instance_revision) == ("map-a", 7, 3)
    np.testing.assert_array_equal(got.up, [0, 0, 1])
    assert_same_surfels(got.surfels, given.surfels)
    assert_same_surfels(got.context, given.context)
    for got_view, expected in zip(got.views, given.views, strict=True):
        assert got_view.camera == expected.camera
        for name in ("rgb", "depth_m", "mask"):
            np.testing.assert_array_equal(getattr(got_view, name), getattr(expected, name))
        np.testing.assert_allclose(got_view.T_world_camera, expected.T_world_camera, atol=1e-9)


def test_surfel_cloud_has_the_fields_of_the_interface_in_its_units() -> None:
    gaussians = GaussianMap.from_surfels(
        torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.6, 0.8, 0.0, 0.0]]), torch.tensor([[0.01, 0.02]]),
        torch.tensor([0.75]), torch.tensor([[1.0, 0.5, 0.0]]),
    )  # fmt: skip
    columns = columns_of(surfel_cloud(gaussians, HEADER))
    assert tuple(columns) == SURFEL_FIELDS
    row = [float(column[0]) for column in columns.values()]
    np.testing.assert_allclose(row, [1, 2, 3, 0.6, 0.8, 0, 0, 0.01, 0.02, 0.75, 1, 0.5, 0], rtol=1e-6)


def test_images_of_a_view_carry_the_map_frame_and_its_stamp() -> None:
    message = over_the_wire(observation()).views[0]
    for part in (message.color, message.depth, message.mask, message.camera_info):
        assert part.header.frame_id == "odom"
    assert (message.color.encoding, message.depth.encoding, message.mask.encoding) == ("rgb8", "32FC1", "mono8")


def test_a_cloud_without_opacity_is_refused_by_name() -> None:
    cloud = surfel_cloud(surfels(3), HEADER)
    cloud.fields = [field for field in cloud.fields if field.name != "opacity"]
    with pytest.raises(InvalidFrameError, match="opacity"):
        gaussians_of(cloud)


def test_a_truncated_cloud_is_refused() -> None:
    cloud = surfel_cloud(surfels(3), HEADER)
    cloud.data = cloud.data[:-4]
    with pytest.raises(InvalidFrameError, match="3 points"):
        gaussians_of(cloud)


def test_a_view_whose_mask_has_another_size_is_refused() -> None:
    response = over_the_wire(observation())
    response.views[0].mask = response.views[1].mask
    with pytest.raises(InvalidFrameError, match=r"mask of a view is 9x4 px but its camera is 7x5"):
        observation_of(response)

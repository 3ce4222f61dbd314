"""CameraInfo messages <-> the pinhole camera."""

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instascene_ros.core.camera import Camera
from instascene_ros.core.errors import InvalidFrameError

MIN_FOCAL_PX, MAX_PX = 1.0, 1e6  # beyond these no camera is, and float32 rays are not finite


def camera_of(message: CameraInfo) -> Camera:
    """The rectified pinhole of a CameraInfo: K, and its width and height.

    Raises:
        InvalidFrameError: an uncalibrated camera (fx = 0), a size of 0, or numbers that no camera has.
    """
    k = message.k
    camera = Camera(float(k[0]), float(k[4]), float(k[2]), float(k[5]), int(message.width), int(message.height))
    focal_px, center_px = (camera.fx, camera.fy), (abs(camera.cx), abs(camera.cy))
    if min(focal_px) < MIN_FOCAL_PX or max(*focal_px, *center_px, camera.width, camera.height) > MAX_PX:
        raise InvalidFrameError(
            f"camera of {camera.width}x{camera.height} px has fx={camera.fx:g} fy={camera.fy:g} cx={camera.cx:g} "
            f"cy={camera.cy:g}; expected focal lengths of at least {MIN_FOCAL_PX:g} px and nothing above {MAX_PX:g}"
        )
    return camera


def info_of(camera: Camera, header: Header) -> CameraInfo:
    """CameraInfo of an image without distortion."""
    message = CameraInfo(header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.K, np.zeros((3, 1))]).ravel()
    return message

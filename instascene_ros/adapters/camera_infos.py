"""CameraInfo messages <-> the pinhole camera."""

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from instascene_ros.core.camera import Camera


def camera_of(message: CameraInfo) -> Camera:
    """The rectified pinhole of a CameraInfo: K, and its width and height.

    Raises:
        InvalidFrameError: an uncalibrated camera (fx = 0) or a size of 0.
    """
    k = message.k
    return Camera(float(k[0]), float(k[4]), float(k[2]), float(k[5]), int(message.width), int(message.height))


def info_of(camera: Camera, header: Header) -> CameraInfo:
    """CameraInfo of an image without distortion."""
    message = CameraInfo(header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = camera.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([camera.K, np.zeros((3, 1))]).ravel()
    return message

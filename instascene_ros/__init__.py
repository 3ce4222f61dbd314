"""Online object instances and in-place object completion from a posed RGB-D stream."""

from pkgutil import extend_path

# The generated messages (instascene_ros.msg, .srv, .action) live in the colcon overlay: one package, two folders.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

"""Online object instances and in-place object completion from a posed RGB-D stream."""

import os
from pkgutil import extend_path

# Read when torch loads its OpenMP: threads that spin while they wait made frames of 0.4 s take 5 s beside one busy
# process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The generated messages (instascene_ros.msg, .srv, .action) live in the colcon overlay: one package, two folders.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

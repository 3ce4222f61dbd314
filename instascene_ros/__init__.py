"""Online object instances and in-place object completion from a posed RGB-D stream."""

import os
from pkgutil import extend_path

# Read when torch loads its OpenMP: threads that spin while they wait made frames of 0.4 s take 5 s beside one busy
# process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Likewise, when numpy loads: matrices here have three or four columns, and the threads of OpenBLAS only wait for one
# another. On 16 cores a completion took four of them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The generated messages (instascene_ros.msg, .srv, .action) live in the colcon overlay: one package, two folders.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

"""Pip install of everything that needs no ROS. A robot builds the same tree with colcon: see package.xml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "(.+)"', (ROOT / "instascene_ros/__init__.py").read_text(), re.M).group(1)

setup(
    name="instascene_ros",
    version=VERSION,
    description="Online object instances and in-place object completion from a posed RGB-D stream",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["instascene_ros", "instascene_ros.*"]),
    package_data={"instascene_ros": ["sample/**/*", "**/*.html", "**/*.j2", "weights/**/*"]},
    zip_safe=False,
    # Ranges that are known to work; requirements.txt pins the versions that are tested.
    install_requires=[
        "jaxtyping>=0.3,<0.4",
        "jinja2>=3.1,<4",
        "matplotlib>=3.8,<4",
        "numba>=0.60,<1",
        "numpy>=1.26,<3",
        "open3d>=0.19,<0.21",
        "pillow>=10.2",
        "rich>=13",
        "rosbags>=0.10",
        "scikit-learn>=1.3,<2",
        "scipy>=1.11,<2",
        "torch>=2.4",
        "trimesh>=4,<6",
        "typer>=0.12,<1",
    ],
    extras_require={
        "gpu": ["gsplat==1.5.3"],
        "generative": ["diffusers>=0.30", "transformers>=4.44"],
        "planning": ["coacd>=1.0"],
        "segmentation": ["transformers>=4.56"],
    },
    entry_points={"console_scripts": ["instascene=instascene_ros.tools.cli:main"]},
)

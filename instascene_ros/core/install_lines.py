"""How to install what no package index has: the doctor and the errors say the same."""

DETECTRON2 = "pip install --no-build-isolation git+https://github.com/facebookresearch/detectron2.git"

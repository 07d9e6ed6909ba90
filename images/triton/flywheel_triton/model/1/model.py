"""What Triton's Python backend looks for. The code is the image's, so that a newer image brings newer code."""

import os
import sys

# The backend's interpreter does not look at PYTHONPATH.
sys.path[:0] = os.environ["PYTHONPATH"].split(":")

from flywheel_triton.student import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]

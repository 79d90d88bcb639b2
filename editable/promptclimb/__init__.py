"""Load the package in an editable installation, which puts this folder and so no other package on the path.

By default setuptools installs a finder instead, which is asked only after the path: there, a folder called
``promptclimb`` beside a user's script, such as the clone itself, would be taken for the package.
"""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "promptclimb", Path(__file__).resolve().parents[2] / "promptclimb" / "__init__.py"
)
assert _spec is not None
assert _spec.loader is not None
sys.modules["promptclimb"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["promptclimb"])

"""open_clip comes without what a model does not need, and gets it once one does."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from promptclimb.evaluator.clip import lazy_imports
from tests.paths import ROOT

BEGUN = """
import sys
import promptclimb
from promptclimb.evaluator.clip import lazy_imports
heavy = lambda: sorted({"timm", "transformers", "torch._dynamo"} & set(sys.modules))
"""
OWN = """
lazy_imports.allow()
lazy_imports.import_for("ViT-pico")
import open_clip
assert heavy() == [], heavy()
from promptclimb.evaluator.clip.models import check_bundled
check_bundled("ViT-pico")
tower = open_clip.model.TimmModel
try:
    tower("test_vit", 8, image_size=160)
except RuntimeError as error:
    assert "timm" in str(error)
else:
    raise AssertionError
lazy_imports.import_for("ViT-pico")
assert heavy() == [], heavy()
lazy_imports.import_for("ViT-B-16-SigLIP")
assert "timm" in heavy()
tower("test_vit", 8, image_size=160)
assert open_clip.hf_model.transformers is None or "transformers" in heavy()
regions = sys.modules["torchvision.ops.roi_align"]
assert regions.is_compile_supported("cpu") in (True, False)
assert "torch._dynamo" in heavy()
"""
WANTED = """
import importlib
lazy_imports.allow()
later = lazy_imports._Later(*lazy_imports.COMPILER)
sys.modules[later.__name__] = later
from torch._dynamo.utils import is_compile_supported
assert heavy() == [], heavy()
from torch._dynamo.utils import counters
assert type(sys.modules["torch._dynamo.utils"]).__name__ == "module"
assert is_compile_supported("cpu") == sys.modules["torch._dynamo.utils"].is_compile_supported("cpu")
"""
SOMEBODYS = """
lazy_imports.import_for("ViT-pico")
assert "open_clip" not in sys.modules
lazy_imports.bring_all()
assert "open_clip" not in sys.modules
"""


@pytest.mark.parametrize("code", [OWN, SOMEBODYS, WANTED], ids=["own", "somebody's", "wanted"])
def test_a_process_has_what_its_models_need(code: str) -> None:
    """The program's own begins without, and brings what is wanted; nothing is done to anybody else's."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BEGUN + code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("RN-pico", True),
        ("ViT-B-32", True),
        ("ViT-B/32", True),
        ("ViT-B-16-SigLIP", False),
        ("roberta-ViT-B-32", False),
        ("convnext_base", False),
        ("hf-hub:somebody/model", False),
        ("local-dir:/no/where", False),
        ("../../names", False),
    ],
)
def test_a_models_own_settings_say_what_it_needs(
    model: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not known may need everything."""
    needed: list[str] = []
    monkeypatch.setattr(lazy_imports, "_process", lazy_imports._Process(own=True))
    monkeypatch.setattr(lazy_imports, "bring_all", lambda: needed.append(model))
    found = importlib.util.find_spec("open_clip")
    assert found is not None
    monkeypatch.setitem(sys.modules, "open_clip", importlib.util.module_from_spec(found))
    lazy_imports.import_for(model)
    assert (needed == []) == plain

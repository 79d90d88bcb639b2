"""Fixtures for every test: a clean environment, and a cache of the test run's own."""

from __future__ import annotations

import gc
import os
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import hypothesis
import pytest

from tests.paths import ROOT

# How long an example takes to draw and to test depends on what else the machine does, and says nothing of the
# program. Each run draws other examples; `make test-slow` draws many, where a test does not say how many.
UNCHECKED = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
hypothesis.settings.register_profile("few", deadline=None, max_examples=10, suppress_health_check=UNCHECKED)
hypothesis.settings.register_profile("many", hypothesis.settings.get_profile("few"), max_examples=200)
hypothesis.settings.load_profile("few")

# Tests write many small files, and a store waits for the disk at each commit. Memory does not wait. Not in a
# small container, nor where programs that a test writes cannot be run.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK):
    memory = os.statvfs(MEMORY)
    if memory.f_bavail * memory.f_frsize > 4 * 2**30 and not memory.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Set before torch is imported: tests share two cores with each other, and many small threads only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Messages of argparse are in English for everybody, and no disk is searched for a translation of each.
os.environ["LANGUAGE"] = "C"
# Nothing in a test may reach for a model hub.
os.environ["HF_HUB_OFFLINE"] = "1"

# open_clip and timm import these where they are installed, which takes long, and no fast test needs them.
UNUSED: dict[str, Any] = dict.fromkeys(("timm", "transformers", "wandb"))
sys.modules.update(UNUSED)

# Collecting tests imports everything, and looking for garbage in that takes half of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """Tests have garbage collected, but look through all that was imported more seldom."""
    for name in UNUSED:
        sys.modules.pop(name, None)
    gc.enable()
    gc.set_threshold(*gc.get_threshold()[:2], 100)


def pytest_sessionfinish() -> None:
    """Look for garbage once: pytest and the end of Python would look through all of it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def small_archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first pictures of each class of the bundled sets."""
    folder, most = tmp_path_factory.mktemp("archives"), {"train": 16, "val": 2, "test": 2}
    for file in (ROOT / "evaluator" / "pico" / "sets").glob("*.zip"):
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(folder / file.name, "w") as small:
            for member in map(PurePosixPath, archive.namelist()):
                if int(member.stem) < most[member.parts[0]]:
                    small.writestr(str(member), archive.read(str(member)))
    return folder


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where small sets are written out, once for all tests of a process."""
    return str(tmp_path_factory.mktemp("small-cache"))


@pytest.fixture
def small_sets(
    monkeypatch: pytest.MonkeyPatch, clean_environment: None, small_archives: Path, small_cache: str
) -> None:
    """Bundled sets of a few images of each class."""
    monkeypatch.setattr("promptclimb.evaluator.datasets.readers.bundled.ARCHIVES", small_archives)
    monkeypatch.setenv("PROMPTCLIMB_CACHE", small_cache)


@pytest.fixture(scope="session", autouse=True)
def vocabulary_read_once() -> None:
    """open_clip reads its vocabulary for every model that is opened: a quarter of a second each."""
    import open_clip  # it imports torch, after what the environment says above

    open_clip.factory.SimpleTokenizer = cache(open_clip.SimpleTokenizer)


@pytest.fixture(scope="session", autouse=True)
def towers_tried_once() -> None:
    """Whether a vector depends on what is encoded with it follows from a tower's shape; it takes 0.1 s."""
    from promptclimb.evaluator.clip import text_encoder

    tries, answers = text_encoder.TextEncoder._independent, dict[object, bool]()

    def independent(encoder: Any, tower: Any) -> bool:
        shapes = tuple(parameter.shape for parameter in encoder._model.parameters())
        key = (shapes, encoder._max_rows, encoder._dtype, text_encoder.encode)
        if key not in answers:
            answers[key] = tries(encoder, tower)
        return answers[key]

    text_encoder.TextEncoder._independent = independent  # type: ignore[method-assign]


@pytest.fixture
def no_old_garbage() -> Iterator[None]:
    """A test that collects garbage looks at its own objects alone: all others are frozen meanwhile.

    Not for tests that search: a search finds out whether something is frozen, which takes long if much is.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all workers of a test run: sets are written out and features encoded once.

    It also holds the secret that signs runs, so fixtures of modules must see it too.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    folder.mkdir(exist_ok=True)
    os.environ["PROMPTCLIMB_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def checkout_as_it_was() -> Iterator[None]:
    """No test leaves a file in the checkout's folder, where a commit would take it along."""
    before = files_of_checkout()
    yield
    assert files_of_checkout() == before


def files_of_checkout() -> set[str]:
    """Return the names of the files directly in the checkout, but for hidden ones of tools."""
    return {path.name for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """No key, endpoint or setting of the person who runs the tests leaks into them."""
    for name in list(os.environ):
        if name.startswith(("PROMPTCLIMB_", "OPENAI_", "SCORER_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("DATA", raising=False)
    # Printed commands name `python`, as in an active environment.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(shared_cache))

"""Installed, also editable, the program is ``promptclimb`` and nothing else, whatever lies beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.paths import ROOT

pytestmark = pytest.mark.slow

NEEDED = "".join(f"{place}\n" for place in sys.path if place.endswith("site-packages"))

USE = """
import agent, evaluator, prompts
assert agent.MINE == evaluator.MINE == prompts.MINE == "the user's own"
from pathlib import Path
from promptclimb import SearchConfig, search_sync
from promptclimb.evaluator.fakes import FakeEvaluator
import promptclimb, promptclimb.agent
assert "site-packages" in promptclimb.__file__ and "site-packages" in promptclimb.agent.__file__
config = SearchConfig(data="words", method="random", restarts=1, rounds=1, initial=5, run_dir=Path("run"))
print(search_sync(config, custom_scorer=FakeEvaluator()).status)
"""


def run(command: list[str], folder: Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def installed(home: Path, *what: str) -> Path:
    """A new environment with something installed into it by the pip of this one, which takes less time."""
    venv.create(home)
    python = home / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", *what], home)
    # A path alone: the links of an editable installation there are not followed.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(NEEDED, "utf-8")
    return python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with the wheel in it; what it needs is taken from this one."""
    return installed(tmp_path_factory.mktemp("venv"), str(wheel))


def test_the_wheel_holds_one_package_and_all_of_it(wheel: Path) -> None:
    """Nothing but ``promptclimb`` at the top, and each file of the rooms but the caches."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"promptclimb"}
    tracked = run(["git", "ls-files", "agent", "evaluator", "prompts", "promptclimb"], ROOT).split()
    expected = {name if name.startswith("promptclimb/") else f"promptclimb/{name}" for name in tracked}
    assert {name for name in expected if not name.endswith("LICENSES")} <= set(names)


def test_it_works_beside_a_users_own_folders_of_the_same_names(python: Path, tmp_path: Path) -> None:
    """A user's ``agent/``, ``evaluator/`` and ``prompts/`` are theirs, and the library is not disturbed."""
    for name in ("agent", "evaluator", "prompts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('MINE = "the user\'s own"\n', "utf-8")
    (tmp_path / "use.py").write_text(USE, "utf-8")
    assert run([str(python), "use.py"], tmp_path).strip() == "finished"


def test_each_of_its_names_is_the_same_command(python: Path, tmp_path: Path) -> None:
    """``promptclimb`` and ``python -m promptclimb``; the bundled models are where it says."""
    script = python.with_name("promptclimb")
    versions = {
        run([str(script), "--version"], tmp_path),
        run([str(python), "-m", "promptclimb", "--version"], tmp_path),
    }
    assert len(versions) == 1
    listed = run([str(script), "models"], tmp_path)
    assert "RN-pico" in listed
    assert str(ROOT) not in listed


BESIDE = """
import promptclimb, promptclimb.agent.cli.main
assert promptclimb.SearchConfig and promptclimb.__name__ == "promptclimb"
try:
    import evaluator
except ModuleNotFoundError:
    print(promptclimb.__file__)
"""


def test_a_script_beside_a_clone_finds_the_editable_installation(tmp_path: Path) -> None:
    """The clone has no ``__init__.py`` and is not taken for the package; no room becomes a package."""
    clone = tmp_path / "promptclimb"
    for name in run(["git", "ls-files"], ROOT).splitlines():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name, follow_symlinks=False)  # links for type checkers
    python = installed(tmp_path / "venv", "--editable", str(clone))
    (tmp_path / "use.py").write_text(BESIDE, "utf-8")
    file = run([str(python), "use.py"], tmp_path).strip()
    assert Path(file).resolve() == (clone / "promptclimb" / "__init__.py").resolve()
    assert "promptclimb" in run([str(python.with_name("promptclimb")), "--version"], tmp_path)

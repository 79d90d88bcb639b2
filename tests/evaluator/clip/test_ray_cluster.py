"""A two-node Ray cluster on this machine: the same scores as one process, also when a node dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptclimb.evaluator.errors import UsageError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.few_shots import draw
from tests.fakes.tiny_clip import config, save_weights
from tests.paths import ROOT

# Ray warns in threads of its own, where a warning made an error leaves it hanging.
pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.filterwarnings("ignore")]
TEMPLATES = [f"a photo of a {{}} number {number}" for number in range(24)]


@pytest.fixture(scope="module", autouse=True)
def ray() -> Any:
    """Imported where it is needed: it takes a second."""
    return pytest.importorskip("ray", reason="the extra 'ray' is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("pictures"), {"train": 6, "test": 6}, noise=150)


@pytest.fixture
def spec(folder: Path, tmp_path: Path) -> EvaluatorSpec:
    # An actor is another process: it finds the architecture in the folder of the weights.
    import json

    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config("clip")}))
    save_weights("clip", tmp_path / "open_clip_model.safetensors")
    return EvaluatorSpec(
        data=str(folder), model=f"local-dir:{tmp_path}", pretrained="own", shots=4, device="cpu",
        cache_dir=tmp_path,
    )  # fmt: skip


@pytest.fixture
def cluster(ray: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_health_check_period_ms", "500")
    ray_cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(address=ray_cluster.address, log_to_driver=False)
    yield ray_cluster
    ray.shutdown()
    ray_cluster.shutdown()


def test_a_node_that_dies_costs_no_score(cluster: Any, spec: EvaluatorSpec) -> None:
    """Two nodes score; one is killed in the middle; every score is that of one process."""
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    expected = open_evaluator(spec).score(TEMPLATES)
    lines: list[str] = []
    evaluator = open_evaluator(spec.model_copy(update={"ray": cluster.address}), report=lines.append)
    assert isinstance(evaluator, Evaluator)
    assert any("room for 2 scorers on 2 nodes" in line for line in lines)
    actors: Any = evaluator
    while len(actors._ready) < 2:
        actors._admit()
    assert evaluator.score(TEMPLATES) == expected
    cluster.remove_node(second)
    assert evaluator.score(TEMPLATES) == expected
    assert any("a scorer died" in line for line in lines)
    assert evaluator.score(["a {}", "no slot"]) == open_evaluator(spec).score(["a {}", "no slot"])
    assert evaluator.examine([["a {}"]]) == open_evaluator(spec).examine([["a {}"]])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port", "auto"])
def test_no_cluster_is_a_usage_error(address: str, spec: EvaluatorSpec) -> None:
    """An address where nobody answers is said as such, and soon."""
    with pytest.raises(UsageError, match="no Ray cluster"):
        open_evaluator(spec.model_copy(update={"ray": address}))


def test_weights_that_an_actor_lacks_are_a_usage_error(cluster: Any, spec: EvaluatorSpec) -> None:
    """What an actor cannot load on its node is reported by the driver, as it is with one process."""
    from promptclimb.evaluator.clip import ray_cluster as module
    from promptclimb.evaluator.clip.in_process import open_in_process
    from promptclimb.evaluator.datasets.loading import load_data
    from promptclimb.evaluator.spec import EvaluatorSpec as Spec

    local, key = open_in_process(spec, load_data(spec), lambda _line: None, lambda *_given: None)
    elsewhere: Spec = spec.model_copy(update={"model": "local-dir:/no/such/folder", "ray": cluster.address})
    with pytest.raises(UsageError, match="cannot start"):
        module.ClusterEvaluator(local, key, elsewhere)

"""From what the user asked for to an evaluator that is ready to score: the one place that picks its kind."""

from __future__ import annotations

from .custom import open_custom
from .scoring import Evaluator
from .spec import EvaluatorSpec, Progress, Report


def open_evaluator(
    spec: EvaluatorSpec, *, report: Report | None = None, progress: Progress | None = None
) -> Evaluator:
    """Return the evaluator of a specification.

    For CLIP, load data and model and encode the images that are not in the cache; for an evaluator of the
    user's own, call its factory.

    Block for as long as that takes: call it in a thread. torch is imported here, not before.

    Args:
        spec: What to open; of a search's config, the part that is a specification.
        report: Told each fact worth knowing (preprocessing, corrections, what is left out).
        progress: Told how many images of how many are encoded, batch after batch; the test images too, when
            ``examine`` opens them.

    Raises:
        ConfigError: The user's own evaluator cannot be opened.
        DataError: The data set cannot be used.
        ModelError: The model, its checkpoint, the device or the cluster cannot be used.
    """
    tell, count = report or (lambda _line: None), progress or (lambda _done, _of: None)
    spec = spec.bare()
    if spec.evaluator is not None:
        return open_custom(spec.evaluator, spec)
    from .clip.in_process import open_in_process

    local, splits = open_in_process(spec, tell, count)
    if spec.ray is None:
        return local
    from .clip.ray_cluster import ClusterEvaluator

    return ClusterEvaluator(local, splits, spec, report=tell)

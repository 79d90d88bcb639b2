"""The command line in a process of its own, with words in place of a model."""

from __future__ import annotations

import sys

import promptclimb.agent.search.inputs
from promptclimb.agent.cli.main import main
from promptclimb.evaluator.fakes import FakeEvaluator

if __name__ == "__main__":
    promptclimb.agent.search.inputs.open_evaluator = lambda *_, **__: FakeEvaluator()
    sys.argv[0] = "run_agent.py"
    sys.exit(main())

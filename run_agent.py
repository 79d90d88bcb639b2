"""promptclimb's command line: ``python run_agent.py --help``."""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command that the arguments name, and returns its exit code."""
    from agent.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())

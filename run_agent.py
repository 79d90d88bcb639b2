"""promptclimb's command line in a checkout: ``python run_agent.py --help``."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command that the arguments name, and return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - pip would refuse an older one, but nobody asked pip
        sys.stderr.write("error: promptclimb needs Python 3.11 or newer\n")
        return 2
    from promptclimb.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())

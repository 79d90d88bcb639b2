"""promptclimb's command line: ``python run_agent.py --help``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> int:
    """Runs the command that the arguments name, and returns its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - pip would refuse an older one, but nobody asked pip
        sys.stderr.write("error: promptclimb needs Python 3.11 or newer\n")
        return 2
    try:
        from agent.cli.main import main as run
    except ModuleNotFoundError as error:
        sys.stderr.write(f"error: {error}; run `make install`, then use .venv/bin/python\n")
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return run()


if __name__ == "__main__":
    sys.exit(main())

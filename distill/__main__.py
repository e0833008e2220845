"""`distill`, and `python -m distill`: where the program begins."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program."""
    try:
        from distill import cli  # here, so that Ctrl+C while it is imported is no traceback

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

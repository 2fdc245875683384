"""``python -m calibration`` is ``rt-calibrate``."""

from __future__ import annotations

from rt_decoder.__main__ import start

__all__ = ["main"]


def main() -> None:
    """Run the program."""
    start("calibration.cli")


if __name__ == "__main__":
    main()

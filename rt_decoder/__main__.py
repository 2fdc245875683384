"""``python -m rt_decoder`` is ``rt-decoder``."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from rt_decoder.commands.interrupt import SIGNALS, raise_again

__all__ = ["main", "start"]


def start(module: str) -> None:
    """Import a program and run it; signals are heard from the first import to the end of Python."""
    sys.unraisablehook = raise_again
    early = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in early:  # until the program hears them by itself
        signal.signal(number, signal.default_int_handler)
    try:
        import_module(module).main()
    except KeyboardInterrupt:  # before the program hears it by itself
        sys.stderr.write("error: interrupted; nothing was written\n")
        sys.exit(130)
    finally:
        for number in early:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> None:
    """Run the program."""
    start("rt_decoder.commands.cli")


if __name__ == "__main__":
    main()

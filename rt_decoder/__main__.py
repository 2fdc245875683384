"""``python -m rt_decoder`` is ``rt-decoder``."""

from rt_decoder.commands.cli import main

main()

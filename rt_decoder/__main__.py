"""``python -m rt_decoder`` is ``rt-decoder``."""

from rt_decoder.cli import main

main()

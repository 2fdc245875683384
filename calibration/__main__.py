"""``python -m calibration`` is ``rt-calibrate``."""

from calibration.cli import main

main()

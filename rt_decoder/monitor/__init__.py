"""Tell whether brain, cap, timing and polarity are those of calibration."""

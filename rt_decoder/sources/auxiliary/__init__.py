"""Other streams, such as an ECG belt, joined to the samples."""

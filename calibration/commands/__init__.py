"""The command line `rt-calibrate`: a file a command or a few related ones."""

"""The command line `rt-decoder`: a file a command."""

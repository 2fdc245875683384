"""Look whether a stream is fit for a session; the command `check`."""

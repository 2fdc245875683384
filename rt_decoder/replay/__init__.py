"""Send a recording as a live stream, with faults on request."""

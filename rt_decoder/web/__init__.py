"""What the pages share: a port, and who may see what is behind it."""

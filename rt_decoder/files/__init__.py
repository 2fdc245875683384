"""Every file format, read and written."""

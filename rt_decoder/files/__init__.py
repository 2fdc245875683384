"""Read and write every file format."""

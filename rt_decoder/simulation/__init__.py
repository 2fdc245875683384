"""A simulated participant with known truth."""

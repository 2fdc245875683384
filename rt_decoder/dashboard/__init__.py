"""The operator's page: what a decoder does, in a browser."""

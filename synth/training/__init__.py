"""Train a generator on records."""

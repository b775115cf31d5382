"""Train a generator under differential privacy."""

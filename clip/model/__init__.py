"""The two towers and their checkpoints."""

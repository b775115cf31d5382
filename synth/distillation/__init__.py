"""Few-step students of trained generators."""

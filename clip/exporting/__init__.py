"""Checkpoints in the forms of other libraries."""

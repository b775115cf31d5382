"""Whose photographs a generator learnt from, on what terms, and what its card says of that."""

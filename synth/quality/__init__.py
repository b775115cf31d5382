"""How good synthetic photographs are: what they teach, how far they are from real ones, and what they copy."""

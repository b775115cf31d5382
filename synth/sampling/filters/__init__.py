"""What a sample must pass before it is written."""

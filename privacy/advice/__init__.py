"""What to change about a release, and what that costs."""

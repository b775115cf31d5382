"""`python -m synth`: the command where no entry point is on the path."""

from synth.cli import app

app()

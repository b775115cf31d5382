"""`python -m synth`: the command where no entry point is on the path."""

from synth.commands.app import app

app()

"""`python -m privacy`."""

from privacy.commands.app import app

app(prog_name="privacy")

"""`python -m privacy`."""

from privacy.cli import app

app(prog_name="privacy")

"""`python -m clip`, for systems where another program is called clip."""

from clip.commands.app import app

app(prog_name="clip")

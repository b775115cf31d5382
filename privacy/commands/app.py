"""The command `privacy`."""

from privacy.commands import audit, canary, ethics, suggestions, validation
from synth.base.command import command

app = command(
    "privacy",
    "Show what a release reveals about the patients behind it.",
    "privacy audit --model runs/clip/ckpt.pt --attackers records/odir",
)
app.add_typer(canary.app, name="canary")
app.command()(validation.power)
app.command()(validation.selftest)
app.command()(suggestions.suggest)
app.command()(audit.audit)
app.command()(audit.verdict)
app.command()(ethics.checklist)

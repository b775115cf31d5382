"""The command `synth`: its verbs and what the overview says of them."""

from synth.base.command import command
from synth.commands import generators, records, release

app = command(
    "synth",
    "Make labelled, captioned fundus photographs.",
    "synth import odir5k --root ODIR/ --out records/odir",
    "synth train --data records/odir --out runs/odir --config fundus256-small --start fundus256",
    "synth generate --model runs/odir --n 10000 --out synthetic",
)

app.command("import")(records.import_)
app.command(short_help="Draw digital phantoms: people who do not exist.")(records.phantom)
app.command()(generators.train)
app.command(short_help="Choose another length for a run's averaged weights.")(generators.average)
app.command(short_help="Tune a student that draws in 4 steps, or 2.")(generators.distill)
app.command()(release.generate)
app.command(short_help="Judge synthetic records against real ones.")(release.evaluate)
app.command()(records.verify)
app.command(short_help="Publish records or a generator on the Hugging Face Hub.")(release.push)
app.command()(records.preview)

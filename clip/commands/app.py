"""The command `clip`: its verbs and what the overview says of them."""

from clip.commands import benchmarks, evaluation, training, use
from synth.base.command import command

app = command(
    "clip",
    "Train a Chinese-English CLIP on fundus photographs, and measure it.",
    "clip train --data synthetic --config tiny",
    "clip eval --model runs/clip/ckpt.pt --data records/odir --split test --out report",
    "clip predict photo.jpg --model runs/clip/ckpt.pt",
)

app.command()(training.train)
app.command()(training.doctor)
app.command("eval")(evaluation.evaluate)
app.command()(evaluation.compare)
app.command()(benchmarks.benchmarks)
app.command()(use.predict)
app.command()(use.embed)
app.command()(use.search)
app.command()(use.export)
app.command()(use.push)
app.command()(use.demo)

"""Verbs that use a trained CLIP, or hand it on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clip.commands.training import CaptionColumn, ImageColumn
from synth.base.command import Json, say, show, show_pushed, then
from synth.base.errors import UserError

Lang = Literal["zh", "en", "both"]
Form = Literal["onnx", "hf", "open_clip", "cn_clip", "visionclip"]
Model = Annotated[
    str, typer.Option(help="a ckpt.pt of 'clip train', hub:NAME/REPO, or another's as KIND:FILE")
]


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(help="fundus photographs, folders of them, or any other form that 'clip train' takes"),
    ],
    model: Model,
    lang: Annotated[Lang, typer.Option(help="prompts of the probability that is shown first")] = "both",
    saliency: Annotated[
        Path | None,
        typer.Option(help="what speaks for a finding: OUT.png, or a folder for several photographs"),
    ] = None,
    finding: Annotated[
        str | None, typer.Option(help="of the saliency, for example is_gc; default: the most probable one")
    ] = None,
    json: Json = False,
) -> None:
    """Say how probable each disease is against a normal fundus.  For research, not for diagnosis.

    \b
    Examples:
      clip predict photo.jpg --model runs/clip/ckpt.pt
      clip predict photo.jpg --model runs/clip/ckpt.pt --saliency photo-gc.png --finding is_gc
      clip predict photographs/ more.png --model runs/clip/ckpt.pt --saliency maps --json > findings.jsonl
    """
    from clip.apps.predict import predict_all

    def refuse(error: UserError) -> None:
        typer.echo(f"clip: {error}", err=True)

    for each in predict_all(model, images, lang, saliency, finding, refuse):
        show(each.as_json(), json, each.text())


def embed(
    model: Model,
    data: Annotated[
        list[str],
        typer.Option(
            help="may repeat; what to embed: records, or any other form that 'clip train' takes, or a folder of pictures"
        ),
    ],
    out: Annotated[Path, typer.Option(help="parquet file: id, subject_id, embedding")],
    split: Annotated[str, typer.Option(help="train, validation, test or all")] = "all",
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    json: Json = False,
) -> None:
    """Write the embeddings of photographs, each of length 1.

    \b
    Examples:
      clip embed --model runs/clip/ckpt.pt --data records/odir --out odir.parquet
      clip embed --model runs/clip/ckpt.pt --data records/odir --split test --out test.parquet
    """
    from clip import inputs
    from clip.embed import write
    from clip.inputs.sets import Columns, joined
    from clip.loading import load_model
    from synth.data.records import parse_splits

    sets = joined(data, Columns(image_column, caption_column))
    say(inputs.opened(sets).notes)
    count = write(out, load_model(model), sets, parse_splits(split))
    show({"file": str(out), "embeddings": count}, json, f"{count} embeddings: {out}")
    then("clip", "search", "疑似青光眼。", "--model", model, "--embeddings", out)


def search(
    text: Annotated[str, typer.Argument(help="what to look for, in Chinese or English")],
    model: Model,
    embeddings: Annotated[Path, typer.Option(help="a file of 'clip embed', by the same model")],
    k: Annotated[int, typer.Option(min=1, help="how many photographs")] = 10,
    sheet: Annotated[Path | None, typer.Option(help="contact sheet: .png or .html; needs --data")] = None,
    data: Annotated[Path | None, typer.Option(help="what was embedded")] = None,
    json: Json = False,
) -> None:
    """Find the photographs of a data set that lie nearest to a text.

    \b
    Examples:
      clip search 疑似青光眼。 --model runs/clip/ckpt.pt --embeddings odir.parquet
      clip search "Suspected glaucoma." --model runs/clip/ckpt.pt --embeddings odir.parquet --data records/odir --sheet found.html
    """
    from clip.apps import search as searching
    from clip.loading import load_model

    if sheet and not data:
        raise UserError("--sheet needs --data, the records that were embedded")
    hits = searching.search(load_model(model), searching.read(embeddings), text, k, str(embeddings))
    if sheet and data:
        searching.sheet(sheet, text, hits, data)
    lines = [f"{hit.rank}. {hit.score:.3f} {hit.id} ({hit.subject_id})" for hit in hits]
    show(
        {"text": text, "found": [hit._asdict() for hit in hits]},
        json,
        "\n".join(lines + ([str(sheet)] if sheet else [])),
    )
    then(open=sheet)


def demo(
    model: Model,
    port: Annotated[
        int | None, typer.Option(help="of this machine; default: the first free one from 7860")
    ] = None,
    browser: Annotated[bool, typer.Option(help="open the page")] = True,
    host: Annotated[
        str,
        typer.Option(
            help="a name or IPv4 address of this machine under which others may open the page; its address then ends in a token"
        ),
    ] = "127.0.0.1",
    embeddings: Annotated[
        Path | None,
        typer.Option(help="a file of 'clip embed', by the same model: the page can search it; needs --data"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="what was embedded; whoever opens the page sees its photographs")
    ] = None,
) -> None:
    """Serve a page to this machine: read a photograph, search a set, draw by labels.  For research, not for diagnosis.

    \b
    Examples:
      clip demo --model runs/clip/ckpt.pt
      clip demo --model runs/clip/ckpt.pt --embeddings odir.parquet --data records/odir
      clip demo --model runs/clip/ckpt.pt --port 8000 --no-browser
    """
    from clip import serving
    from clip.apps import page, tabs
    from clip.apps.predict import Classifier
    from clip.loading import load_model
    from synth.base import extras

    serving.check_host(host)
    if (embeddings is None) != (data is None):
        raise UserError("--embeddings and --data go together: the file of 'clip embed', and what it embeds")
    extras.require("clip demo", "gradio")
    collection = tabs.Collection(embeddings, data) if embeddings and data else None
    page.serve(Classifier(load_model(model)), port, browser, host, say, collection)


def export(
    model: Annotated[Path, typer.Argument(help="a ckpt.pt; with --to visionclip, what is read instead")],
    out: Annotated[Path, typer.Option(help="file to write; a folder for onnx, hf and open_clip")],
    to: Annotated[Form, typer.Option(help="form of the weights")] = "cn_clip",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME|FILE",
            help="for --to visionclip from a Chinese-CLIP .pt: the model's training config, as of 'clip train'",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Rewrite a checkpoint for other libraries, or one of theirs for us.

    \b
    onnx       image.onnx and text.onnx for any batch, checked by onnxruntime
    hf         a folder for transformers (ViT: ChineseCLIPModel; ResNet: BertModel and timm, part by part)
    open_clip  a folder for open_clip.create_model("local-dir:FOLDER")
    cn_clip    a .pt for Chinese-CLIP (CLIP's ResNet, or a ViT of CLIP's kind)
    visionclip a ckpt.pt, from a Chinese-CLIP .pt or from a folder that --to hf wrote

    \b
    Examples:
      clip export runs/clip/ckpt.pt --to onnx --out onnx
      clip export runs/clip/ckpt.pt --to hf --out hf
      clip export runs/clip/ckpt.pt --to cn_clip --out cn_clip.pt
      clip export cn_clip_rn50.pt --to visionclip --config visionclip --out ckpt.pt
    """
    from clip import export

    lines = list(export.export(model, out, to, config))
    show({"written": str(out), "form": to, "lines": lines}, json, "\n".join(lines))


def push(
    model: Annotated[Path, typer.Argument(help="a ckpt.pt of 'clip train'")],
    repo: Annotated[
        str, typer.Option(help="NAME/REPO on the Hugging Face Hub; repeat the command to resume")
    ],
    licence: Annotated[str, typer.Option(help="such as cc-by-nc-4.0, or one line of terms of your own")],
    private: Annotated[bool, typer.Option("--private", help="make the repository a private one")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="export, check, list what would go, and stop")
    ] = False,
    json: Json = False,
) -> None:
    """Publish an encoder on the Hugging Face Hub: checkpoint, export for transformers and timm, and a card.

    \b
    Examples:
      clip push runs/clip/ckpt.pt --repo me/fundus-clip --licence cc-by-nc-4.0 --private
      clip push runs/clip/ckpt.pt --repo me/fundus-clip --licence cc-by-nc-4.0 --dry-run
      clip predict photo.jpg --model hub:me/fundus-clip
    """
    from clip.export.hub import push

    show_pushed(push(model, repo, licence, private, dry_run), dry_run, json)

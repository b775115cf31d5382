"""Verbs on records: import, draw, check, look."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import Json, show, then
from synth.base.errors import UserError
from synth.base.words import number_of

Out = Annotated[Path, typer.Option(help="folder to write; repeat the command to continue")]


def import_(
    source: Annotated[str, typer.Argument(help="a name from --list")] = "",
    root: Annotated[Path | None, typer.Option(help="the set's folder, in its own layout")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of records to write")] = None,
    split: Annotated[str, typer.Option(help="train:validation:test, over patients")] = "8:1:1",
    size: Annotated[int | None, typer.Option(help="make pictures smaller: longest side in pixels")] = None,
    mapping: Annotated[Path | None, typer.Option(help="for 'folder': YAML that maps your columns")] = None,
    max_dropped: Annotated[
        float,
        typer.Option(min=0, max=1, help="share of the listed pictures above whose loss the exit status is 2"),
    ] = 0.5,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="for 'folder': write a first --mapping of your table and stop")
    ] = False,
    list: Annotated[bool, typer.Option("--list", help="print the known sets and stop")] = False,
    json: Json = False,
) -> None:
    """Turn a public set's own layout into records.

    \b
    Examples:
      synth import --list
      synth import idrid --root IDRiD/ --out records/idrid
      synth import odir5k --root ODIR/ --out records/odir --split 7:1:2
      synth import folder --root clinic/ --mapping mapping.yaml --suggest
      synth import folder --root clinic/ --mapping mapping.yaml --out records/mine
    """
    from synth.sources import SOURCES, importing, page
    from synth.sources.report import dropped_share

    if list:
        named = {name: {"title": known.title, "licence": known.licence} for name, known in SOURCES.items()}
        text = "\n".join(f"{name:12} {known.title} [{known.licence}]" for name, known in SOURCES.items())
        show(named, json, text)
        return
    if suggest:
        from synth.sources.suggest import suggest as write_mapping

        if source != "folder" or root is None:
            raise UserError("--suggest is for 'synth import folder --root DIR [--mapping FILE]'")
        written = mapping or Path("mapping.yaml")
        show(write_mapping(root, written), json)
        then(
            "synth",
            "import",
            "folder",
            "--root",
            root,
            "--mapping",
            written,
            "--out",
            "records/mine",
            open=written,
        )
        return
    if not source or root is None or out is None:
        raise UserError("give SOURCE, --root and --out; 'synth import --list' names the sources")
    result = importing.import_source(source, root, out, _shares(split), size, mapping)
    show(result, json, "\n".join(page.lines(result, out)))
    lost = dropped_share(result)
    if lost > max_dropped:
        raise UserError(
            f"{out}: ONLY {result['kept']:,} PICTURES KEPT, {lost:.1%} of what is listed is lost (--max-dropped "
            f"{max_dropped:g}); the records are written, see why in {out / page.NAME}"
        )
    then("clip", "train", "--data", out, "--out", "runs/clip", open=out / page.NAME)


def phantom(
    n: Annotated[int, typer.Option(help="how many pictures")],
    out: Out,
    size: Annotated[int, typer.Option(help="pixels a side")] = 256,
    seed: Annotated[int, typer.Option(help="another seed, other people")] = 0,
    age_strength: Annotated[float, typer.Option(help="0 to 1: how much age shows in the picture")] = 0.0,
    sex_strength: Annotated[float, typer.Option(help="0 to 1: how much sex shows")] = 0.0,
    race_strength: Annotated[float, typer.Option(help="0 to 1: how much race shows")] = 0.0,
    masks: Annotated[
        bool, typer.Option("--masks", help="write OUT/masks/ID.png too: where disc and cup are")
    ] = False,
    json: Json = False,
) -> None:
    """Draw digital phantoms: fundus photographs of people who do not exist, with ground truth.

    \b
    Examples:
      synth phantom --n 500 --out phantoms
      synth phantom --n 2000 --size 128 --sex-strength 0.5 --out phantoms-sex
      synth phantom --n 500 --size 128 --masks --out phantoms-masks
    """
    from synth import phantom
    from synth.base.config import check

    settings = {
        "size": size,
        "seed": seed,
        "age_strength": age_strength,
        "sex_strength": sex_strength,
        "race_strength": race_strength,
    }
    config = check(phantom.PhantomConfig, settings, "synth phantom")
    counts = phantom.write(config, n, out)
    if masks:
        phantom.write_masks(config, n, out)
    show(counts, json)
    then("synth", "preview", out, "--out", f"{out}.png")


def verify(folder: Annotated[Path, typer.Argument(help="records")], json: Json = False) -> None:
    """Check every shard of a folder against its sha256 and its plan.

    \b
    Examples:
      synth verify synthetic
    """
    from synth.sampling.verify import verify

    show(verify(folder), json)


def preview(
    folder: Annotated[Path, typer.Argument(help="records")],
    out: Annotated[Path, typer.Option(help="PNG to write")] = Path("sheet.png"),
    count: Annotated[int, typer.Option(help="how many pictures")] = 48,
    columns: Annotated[int, typer.Option(help="pictures in a row")] = 8,
    side: Annotated[int, typer.Option(help="pixels a picture")] = 128,
    seed: Annotated[int, typer.Option(help="another seed, other pictures")] = 0,
    json: Json = False,
) -> None:
    """Draw a contact sheet of records.

    \b
    Examples:
      synth preview synthetic --out sheet.png
      synth preview synthetic --count 100 --columns 10 --side 96 --out sheet.png
    """
    from synth.sampling.preview import preview

    shown = preview(folder, out, count, columns, side, seed)
    show({"sheet": str(out), "pictures": shown}, json, f"{out}: {number_of(shown, 'picture')}")
    then(open=out)


def _shares(text: str) -> tuple[int, ...]:
    """8:1:1 -> (8, 1, 1)."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or not sum(map(int, parts)):
        raise UserError(f"--split '{text}': write it as train:validation:test, for example 8:1:1")
    return tuple(map(int, parts))

"""What makes a folder of synthetic records a data set: its card, its Croissant, its counts.

Both are written from `plan.json`, `generator.json` (what the generator says of itself), the sidecars of the
shards, and `publication.yaml` (what a person says): never edit them, repeat the command.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from synth.base.config import fingerprint
from synth.base.runs import read_json, write_json
from synth.base.stats import wilson
from synth.data.card import write_card
from synth.data.records import COLUMNS, LABELS, SPLITS, read_table
from synth.data.shards import SUFFIXES, is_done
from synth.provenance import publication
from synth.provenance.model_card import guarantee
from synth.provenance.training_data import Origin, origins
from synth.publishing import tally
from synth.publishing.croissant import write_croissant
from synth.sampling.plan import Plan, shards

NAME = "visionclip-synthetic-fundus"

_CARD = """
{about}{n} synthetic fundus photographs with captions in Chinese and English, drawn by a diffusion model.
No photograph of a patient is in this folder.  For research, not for clinical use.

```python
from datasets import load_dataset

data = load_dataset("{where}")
```

## Licence
{licence}

## Provenance
- plan `{digest}` (`plan.json`), seed {seed}
- generator weights `{model}`{generator}
- {steps} steps of {solver}, guidance {guidance:g}
- libraries: {libraries}

Image i is a function of (plan, i): the same plan on the same kind of machine gives the same bytes.

## Filters
{filters}

## Labels
{combinations}

{table}

A row counts photographs with that label; the share is of the photographs where it is known.  Empty means unknown,
never absent.  Columns: {columns}.

## Limits
- A label is what the generator was asked to show; no doctor has read the pictures.
- {size}What a camera of another make, or an eye of another population than the training photographs', looks like is not shown.
- Every picture is a subject of its own: no two show both eyes, or two visits, of one person.
- Age, sex and race are neither told nor recorded.
- What the set may still reveal of the patients behind the generator is a question that `privacy audit` measures, not
  one that synthesis answers.{private}

## Verify and reproduce
```
synth verify FOLDER
{command}
```

MODEL is the generator named above.  Label combinations and their weights are the `mix` of `plan.json`; where they
came from a file of yours, write them into one again for `--labels FILE`.

## Cite
{cite}
"""


def publish(folder: Path, plan: Plan, generator: dict[str, Any] | None = None) -> bool:
    """Write README.md and croissant.json once every shard of the plan is there; returns whether it is.

    Args:
        generator: what the generator says of itself; without it, `generator.json` as an earlier call left it.
    """
    if generator is not None:
        write_json(folder / "generator.json", generator)
    digest = fingerprint(plan)
    if not all(is_done(folder / shard.name, digest) for shard in shards(plan)):
        return False
    path = folder / "generator.json"
    write_cards(folder, plan, read_json(path) if path.exists() else {})
    return True


def republish(folder: Path) -> None:
    """Write the cards of a complete folder of any records anew."""
    plan = read_json(folder / "plan.json")
    if plan.get("kind") != "synthetic":
        _write_plain_card(folder, plan)
    else:
        publish(folder, plan)


def _write_plain_card(folder: Path, plan: dict[str, Any]) -> None:
    """The card of records that no generator made."""
    said, behind = publication.read(folder), origins([folder])
    licence = said.terms(behind)
    front = publication.front(licence)
    tables = {split: read_table(folder, [split], LABELS) for split in SPLITS}
    text = "\n\n".join(
        [
            *([said.about.strip()] if said.about else []),
            "Fundus photographs with labels and captions in Chinese and English.  For research, not for clinical use.",
            "## Licence",
            publication.words(licence, behind, "The photographs are of these sets; cite them:"),
            "## Labels",
            tally.counts(tables),
        ]
    )
    counts = {split: table.num_rows for split, table in tables.items()}
    title = said.title or str(plan.get("source", plan.get("kind", "records")))
    write_card(folder, title, text, counts, front.pop("license"), more=front)


def write_cards(folder: Path, plan: Plan, generator: dict[str, Any]) -> None:
    """Write the card and the Croissant of a complete folder."""
    said = publication.read(folder)
    trained_on = generator.get("trained_on", [])
    licence = said.terms(trained_on)
    title = said.title or NAME
    tables = {split: read_table(folder, [split], LABELS) for split in SPLITS}
    text = _CARD.format(
        **{key: plan[key] for key in ("n", "seed", "model", "steps", "solver", "guidance")},
        about=f"{said.about.strip()}\n\n" if said.about else "",
        where=said.url.partition("/datasets/")[2] or "FOLDER" if said.url else "FOLDER",
        licence=publication.words(licence, trained_on, publication.LEARNT),
        digest=fingerprint(plan),
        generator=_generator(generator),
        libraries=", ".join(f"{name} {version}" for name, version in plan["libraries"].items()),
        filters=_filters(folder, plan),
        combinations=tally.balance(tables),
        table=tally.counts(tables),
        columns=", ".join(f"`{name}`" for name in COLUMNS),
        size=_size(generator),
        private=_private(generator),
        command=_command(plan),
        cite=_cite(title, said, trained_on, plan),
    )
    counts = {split: table.num_rows for split, table in tables.items()}
    write_croissant(folder, plan, title, licence, said, trained_on)
    front, suffix = publication.front(licence), SUFFIXES[plan["format"]][1:]
    write_card(folder, title, text, counts, front.pop("license"), ["synthetic", "croissant"], suffix, front)


def _generator(known: dict[str, Any]) -> str:
    return f", after {known['images']} photographs shown in training" if "images" in known else ""


def _size(known: dict[str, Any]) -> str:
    size = known.get("preprocessing", {}).get("size")
    return f"Pictures are {size} x {size} pixels: what is finer cannot be seen.  " if size else ""


def _private(known: dict[str, Any]) -> str:
    given = known.get("differential_privacy")
    return f"\n- {guarantee(given)}" if given else ""


def _filters(folder: Path, plan: Plan) -> str:
    """What was drawn again and why, summed over the sidecars."""
    asked = plan.get("filters")
    if asked is None:
        return "None: every picture that was drawn is here."
    counts = Counter[str]()
    for shard in shards(plan):
        counts.update(read_json((folder / shard.name).with_suffix(".json"))["filtered"])
    drawn = counts["drawn"]
    lines = [
        f"{drawn} pictures were drawn; those rejected were drawn again with the same labels, "
        f"at most {asked['attempts']} times."
    ]
    if "copies" in asked:
        guard = asked["copies"]
        lines.append(
            f"- **copies**: {_share(counts['copies'], drawn)} came nearer to one of {guard['photographs']} training "
            f"photographs of {guard['patients']} patients than held-out patients do (closeness below "
            f"{guard['closeness']:g}, descriptor {guard['descriptor']}; {guard['held_out_flagged']} of "
            f"{guard['held_out_patients']} held-out patients do).  None is in this folder."
        )
    if "mislabelled" in asked:
        check = asked["mislabelled"]
        each = ", ".join(f"`{label}` {counts[f'mislabelled {label}']}" for label in check["checks"])
        lines.append(
            f"- **mislabelled**: {_share(counts['mislabelled'], drawn)} contradicted a label in the eyes of a "
            f"classifier of real photographs (`{check['classifier'][:16]}`), by label: {each}.  "
            f"{counts['kept though mislabelled']} are here though every draw did.  "
            "Not checked: "
            + "".join(f"`{label}` ({why}), " for label, why in check["unchecked"].items())
            + "and what the classifier did not learn."
        )
    return "\n".join(lines)


def _share(hits: int, drawn: int) -> str:
    low, high = wilson(hits, drawn)
    return f"{hits} ({hits / drawn:.2%}, 95 % interval {low:.2%} to {high:.2%})"


def _command(plan: Plan) -> str:
    flags = {name: plan[name] for name in ("n", "seed", "labels", "steps", "guidance", "batch", "format")}
    told = " ".join(f"--{name} {'FILE' if value == 'file' else value}" for name, value in flags.items())
    told += " --marks" if any("canary" in entry["labels"] for entry in plan["mix"]) else ""
    return f"synth generate --model MODEL {told} --quality {plan['jpeg_quality']} --out again"


def _cite(title: str, said: publication.Publication, trained_on: list[Origin], plan: Plan) -> str:
    lines = [
        "```bibtex",
        f"@misc{{{NAME},",
        f"  title  = {{{title}}},",
        *([f"  author = {{{' and '.join(said.authors)}}},"] if said.authors else []),
        *([f"  year   = {{{said.published.year}}},"] if said.published else []),
        *([f"  url    = {{{said.url}}},"] if said.url else []),
        f"  note   = {{plan {fingerprint(plan)[:16]}, generator {plan['model'][:16]}}}",
        "}",
        "```",
    ]
    cited = [
        origin["citation"] for origin in trained_on if origin["citation"] not in ("unknown", "visionclip")
    ]
    return "\n".join(
        [*lines, *(["", "And the photographs behind it: " + "; ".join(cited) + "."] if cited else [])]
    )

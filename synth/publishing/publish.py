"""What makes a folder of synthetic records a data set: its card, its Croissant, its counts.

Both are written from `plan.json`, `generator.json` (what the generator says of itself), the sidecars of the
shards, and `publication.yaml` (what a person says): never edit them, repeat the command.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from synth.base import extras
from synth.base.documents import read_mapping
from synth.base.hub import CHECKLIST
from synth.base.runs import write_json
from synth.base.stats import wilson
from synth.data.card import write_card
from synth.data.records import COLUMNS, LABELS, SPLITS, read_table
from synth.data.shards import SUFFIXES, is_done
from synth.model.card import GeneratorCard, TrainingSource
from synth.provenance import publication
from synth.provenance.model_card import guarantee
from synth.provenance.training_data import training_sources
from synth.publishing import tally
from synth.publishing.croissant import write_croissant
from synth.sampling.plan import Plan, shards

NAME = "visionclip-synthetic-fundus"
ETHICS = "ethics.md"
"""A section of the card that `privacy checklist` writes."""

_log = logging.getLogger("synth")

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
- {checklist}
{ethics}
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


def publish(folder: Path, plan: Plan, generator: GeneratorCard | None = None) -> bool:
    """Write README.md and croissant.json once every shard of the plan is there; returns whether it is.

    Args:
        generator: what the generator says of itself; without it, `generator.json` as an earlier call left it.
    """
    if generator is not None:
        write_json(folder / "generator.json", generator.to_json())
    digest = plan.fingerprint
    if not all(is_done(folder / shard.name, digest) for shard in shards(plan)):
        return False
    path = folder / "generator.json"
    write_cards(folder, plan, GeneratorCard.read(path) if path.exists() else None)
    return True


def republish(folder: Path) -> None:
    """Write the cards of a complete folder of any records anew."""
    plan = read_mapping(folder / "plan.json")
    if plan.get("kind") != "synthetic":
        _write_plain_card(folder, plan)
    else:
        publish(folder, Plan.parse(plan, str(folder / "plan.json")))


def _write_plain_card(folder: Path, plan: dict[str, Any]) -> None:
    """The card of records that no generator made."""
    stated, sources = publication.read(folder), training_sources([folder])
    licence = stated.terms(sources)
    front = publication.front(licence)
    tables = {split: read_table(folder, [split], LABELS) for split in SPLITS}
    text = "\n\n".join(
        [
            *([stated.about.strip()] if stated.about else []),
            "Fundus photographs with labels and captions in Chinese and English.  For research, not for clinical use.",
            "## Licence",
            publication.words(licence, sources, "The photographs are of these sets; cite them:"),
            "## Labels",
            tally.counts(tables),
        ]
    )
    counts = {split: table.num_rows for split, table in tables.items()}
    title = stated.title or str(plan.get("source", plan.get("kind", "records")))
    write_card(folder, title, text, counts, front.pop("license"), more=front)


def write_cards(folder: Path, plan: Plan, generator: GeneratorCard | None) -> None:
    """Write the card and the Croissant of a complete folder."""
    stated = publication.read(folder)
    trained_on = generator.trained_on if generator else []
    licence = stated.terms(trained_on)
    title = stated.title or NAME
    tables = {split: read_table(folder, [split], LABELS) for split in SPLITS}
    text = _CARD.format(
        **plan.model_dump(include={"n", "seed", "model", "steps", "solver", "guidance"}),
        about=f"{stated.about.strip()}\n\n" if stated.about else "",
        where=stated.url.partition("/datasets/")[2] or "FOLDER" if stated.url else "FOLDER",
        licence=publication.words(licence, trained_on, publication.LEARNT),
        digest=plan.fingerprint,
        generator=f", after {generator.images} photographs shown in training" if generator else "",
        libraries=", ".join(f"{name} {version}" for name, version in plan.libraries.items()),
        filters=_filters(folder, plan),
        combinations=tally.balance(tables),
        table=tally.counts(tables),
        columns=", ".join(f"`{name}`" for name in COLUMNS),
        size=_size(generator),
        private=_private(generator),
        ethics=_ethics(folder),
        checklist=CHECKLIST,
        command=_command(plan),
        cite=_cite(title, stated, trained_on, plan),
    )
    counts = {split: table.num_rows for split, table in tables.items()}
    tags = ["synthetic"]
    if extras.is_installed("mlcroissant"):
        write_croissant(folder, plan, title, licence, stated, trained_on)
        tags.append("croissant")
    else:
        (folder / "croissant.json").unlink(missing_ok=True)  # of an earlier card
        _log.warning(
            "%s: no croissant.json is written; for one, %s, and repeat", folder, extras.remedy("mlcroissant")
        )
    front, suffix = publication.front(licence), SUFFIXES[plan.format][1:]
    told = front.pop("license")
    more = {**front, "annotations_creators": ["machine-generated"]}
    write_card(folder, title, text, counts, told, tags, suffix, more)


def _size(generator: GeneratorCard | None) -> str:
    size = generator.preprocessing.size if generator else None
    return f"Pictures are {size} x {size} pixels: what is finer cannot be seen.  " if size else ""


def _private(generator: GeneratorCard | None) -> str:
    given = generator.differential_privacy if generator else None
    return f"\n- {guarantee(given)}" if given else ""


def _ethics(folder: Path) -> str:
    path = folder / ETHICS
    return f"\n{path.read_text(encoding='utf-8')}" if path.exists() else ""


def _filters(folder: Path, plan: Plan) -> str:
    """What was drawn again and why, summed over the sidecars."""
    filters = plan.filters
    if filters is None:
        return "None: every picture that was drawn is here."
    counts = Counter[str]()
    for shard in shards(plan):
        counts.update(read_mapping((folder / shard.name).with_suffix(".json"), "filtered")["filtered"])
    drawn = counts["drawn"]
    lines = [
        f"{drawn} pictures were drawn; those rejected were drawn again with the same labels, "
        f"at most {filters.attempts} times."
    ]
    if copies := filters.copies:
        lines.append(
            f"- **copies**: {_share(counts['copies'], drawn)} came nearer to one of {copies.photographs} training "
            f"photographs of {copies.patients} patients than held-out patients do (closeness below "
            f"{copies.closeness:g}, descriptor {copies.descriptor}; {copies.held_out_flagged} of "
            f"{copies.held_out_patients} held-out patients do).  None is in this folder."
        )
    if check := filters.mislabelled:
        each = ", ".join(f"`{label}` {counts[f'mislabelled {label}']}" for label in check.checks)
        lines.append(
            f"- **mislabelled**: {_share(counts['mislabelled'], drawn)} contradicted a label in the eyes of a "
            f"classifier of real photographs (`{check.classifier[:16]}`), by label: {each}.  "
            f"{counts['kept though mislabelled']} are here though every draw did.  "
            "Not checked: "
            + "".join(f"`{label}` ({why}), " for label, why in check.unchecked.items())
            + "and what the classifier did not learn."
        )
    if filters.anatomy:
        lines.append(
            f"- **anatomy**: {_share(counts['implausible'], drawn)}, asked for as readable eyes, showed no optic disc or several, "
            "no macula in its place, or vessels that do not hang together, in the eyes of a network that learnt from phantoms "
            f"(`{filters.anatomy.network[:16]}`).  {counts['kept though implausible']} are here though every draw did."
        )
    return "\n".join(lines)


def _share(hits: int, drawn: int) -> str:
    low, high = wilson(hits, drawn)
    return f"{hits} ({hits / drawn:.2%}, 95 % interval {low:.2%} to {high:.2%})"


def _command(plan: Plan) -> str:
    names = ("n", "seed", "labels", "steps", "guidance", "batch", "format")
    flags = {name: getattr(plan, name) for name in names}
    given = " ".join(f"--{name} {'FILE' if value == 'file' else value}" for name, value in flags.items())
    given += " --marks" if any("canary" in entry.labels for entry in plan.mix) else ""
    return f"synth generate --model MODEL {given} --quality {plan.jpeg_quality} --out again"


def _cite(title: str, stated: publication.Publication, trained_on: list[TrainingSource], plan: Plan) -> str:
    lines = [
        "```bibtex",
        f"@misc{{{NAME},",
        f"  title  = {{{title}}},",
        *([f"  author = {{{' and '.join(stated.authors)}}},"] if stated.authors else []),
        *([f"  year   = {{{stated.published.year}}},"] if stated.published else []),
        *([f"  url    = {{{stated.url}}},"] if stated.url else []),
        f"  note   = {{plan {plan.fingerprint[:16]}, generator {plan.model[:16]}}}",
        "}",
        "```",
    ]
    cited = [origin.citation for origin in trained_on if origin.citation not in ("unknown", "visionclip")]
    return "\n".join(
        [*lines, *(["", "And the photographs behind it: " + "; ".join(cited) + "."] if cited else [])]
    )

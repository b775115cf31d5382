"""What a person says of a folder that is published: licence, title, authors, address, date."""

import datetime
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from synth.base.config import Config, load
from synth.base.errors import UserError
from synth.base.runs import write_text
from synth.model.card import TrainingSource
from synth.provenance.training_data import LICENCES, identifier, inherited

FILE = "publication.yaml"


class Publication(Config):
    """The file `publication.yaml` of a folder; cards are written from it, so edit it and not them."""

    licence: str | None = None
    """A name such as cc-by-4.0, or one line of your own terms; without it, what the training photographs impose."""
    title: str | None = None
    """Of the card."""
    about: str | None = None
    """Markdown of your own, shown first."""
    authors: list[str] = Field(default_factory=list)
    """Who publishes it."""
    url: str | None = None
    """Its page; the first `synth push` fills it in."""
    published: datetime.date | None = None
    """Its date; the first `synth push` fills it in."""

    @field_validator("licence")
    @classmethod
    def licence_is_a_line(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip() or "\n" in value):
            raise ValueError(
                f"licence={value!r} must be one line: {', '.join(LICENCES)}, or terms of your own"
            )
        return value if value is None else identifier(value) or value.strip()

    def terms(self, trained_on: list[TrainingSource]) -> str | None:
        """The licence that holds: the one that was set, else what the training photographs impose, else None."""
        return self.licence or inherited(trained_on)


def read(folder: Path) -> Publication:
    """What `folder/publication.yaml` says, or nothing where there is none."""
    path = folder / FILE
    return load(Publication, path if path.exists() else None)


def update(folder: Path, **given: Any) -> Publication:
    """Write what is not None over `folder/publication.yaml`; returns the whole."""
    old = read(folder)
    changed = {key: value for key, value in given.items() if value is not None}
    new = check_licence(old.model_dump() | changed)
    if new != old:
        values = {key: value for key, value in new.model_dump().items() if value not in (None, [])}
        write_text(folder / FILE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return new


def check_licence(values: dict[str, Any]) -> Publication:
    """A `Publication` from values of the command line.

    Raises:
        UserError: the licence is not one line.
    """
    try:
        return Publication.model_validate(values)
    except ValueError:
        raise UserError(
            f"--licence {values.get('licence')!r}: must be one line: {', '.join(LICENCES)}, or your own terms"
        ) from None


def front(licence: str | None) -> dict[str, str]:
    """The licence as the front matter of a card on Hugging Face names it."""
    if licence is None:
        return {"license": "unknown"}
    if licence in LICENCES:
        return {"license": licence}
    found = re.search(r"https?://\S+", licence)
    words = re.sub(r"https?://\S+", "", licence).lower()
    slug = re.sub(r"[^a-z0-9.]+", "-", words).strip("-.")[:64] or "own-terms"
    return {"license": "other", "license_name": slug} | ({"license_link": found[0]} if found else {})


def words(licence: str | None, trained_on: list[TrainingSource], what: str) -> str:
    """Markdown: the licence, then `what`, a sentence about the sources, and a table of them."""
    if licence in LICENCES:
        lines = [f"[{LICENCES[licence].name}]({LICENCES[licence].url})."]
    else:
        lines = [licence or "**Not set.**  `synth push --licence` sets it."]
    if not trained_on:
        return lines[0] + "\n\nWhich photographs are behind it was not recorded."
    lines += ["", what, "", "| source | licence | photographs | people | cite |", "|---|---|---:|---:|---|"]
    for origin in trained_on:
        terms = identifier(origin.licence)
        linked = f"[{origin.licence}]({LICENCES[terms].url})" if terms else origin.licence
        counts = " | ".join("" if count is None else str(count) for count in (origin.images, origin.subjects))
        lines.append(f"| {origin.title} | {linked} | {counts} | {origin.citation} |")
    return "\n".join(lines)


LEARNT = (
    "The generator learnt from these photographs, cropped to the field of view and made smaller; their licences are\n"
    "taken to hold for what was learnt.  Where a set tells no people, each photograph counts as one.  Cite them:"
)

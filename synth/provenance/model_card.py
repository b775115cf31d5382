"""The card of a generator's folder: what it learnt from, on what terms, what it is for and what it is not."""

import math
from pathlib import Path

import yaml

from synth.base import weights
from synth.base.hub import CHECKLIST, repository_card
from synth.base.runs import read_json, write_text
from synth.model.card import PrivacyGuarantee, read_card
from synth.provenance import publication

NAME = "visionclip fundus generator"

_CARD = """
# {title}

{about}Draws labelled photographs of the back of the eye, {size} x {size} pixels, from noise: a diffusion model
trained by `synth` of visionclip, as a diffusers folder.

**For research.  Not a medical device: no picture it draws shows anybody's eye, and none may guide anybody's care.**

```
{download}synth generate --model generator --n 100 --out synthetic
```

## Licence
{licence}

## What it is
- {parameters:,} parameters; {images:,} photographs shown in training{average}
- told: grade of diabetic retinopathy, ten other diseases, readability, eye side, modality, findings, each known or
  unknown; never age, sex or race
- vocabulary version {vocabulary}; fingerprint of the training data: {data}{canary}
- libraries: {libraries}
- label combinations that it samples from: {combinations} (`mix.json`){mix}

<details><summary>Settings of the training</summary>

```yaml
{config}
```
</details>

## For what
Training and testing of methods where photographs of patients cannot be had: augmentation of rare labels, teaching,
demonstrations, research on synthesis and on its privacy.  Judge what comes out with `synth evaluate` before you rely
on it.

## Limits
- A label is what the generator is asked to show.  Whether it shows it is measured, not guaranteed.
- It knows the cameras and the people of the photographs above and no others; rare labels are learnt from few people.
- {privacy}
- {checklist}
"""

_CANARY = """
- its training photographs carried the marks of random coins, so that it can be measured what it tells of single
  patients; the coins are sealed under sha256 {}"""

_NOT_PRIVATE = (
    "It was trained without differential privacy: what it may repeat of single patients is a question that\n"
    "  `privacy audit` measures.  `mix.json` counts the training photographs of each label combination."
)


def write_model_card(folder: Path) -> None:
    """Write `folder/README.md` from what the folder itself holds: visionclip.json, mix.json, weights, publication.yaml."""
    card, stated = read_card(folder), publication.read(folder)
    licence, given = stated.terms(card.trained_on), card.differential_privacy
    front = {
        **publication.front(licence),
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": ["medical", "ophthalmology", "fundus", "diffusion", "synthetic", "visionclip"],
    }
    text = _CARD.format(
        checklist=CHECKLIST,
        title=stated.title or NAME,
        about=f"{stated.about.strip()}\n\n" if stated.about else "",
        size=card.preprocessing.size,
        download=f"hf download {stated.url.split('/', 3)[-1]} --local-dir generator\n" if stated.url else "",
        licence=publication.words(licence, card.trained_on, publication.LEARNT),
        parameters=parameters(folder),
        images=card.images,
        average="" if card.average is None else f", weights averaged over a length of {card.average:g} of it",
        vocabulary=card.vocabulary,
        data=f"`{card.data}`" if card.data else "not named",
        canary=_CANARY.format(", ".join(card.canary)) if card.canary else "",
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
        combinations=len(read_json(folder / "mix.json")),
        config=yaml.safe_dump(card.config, sort_keys=False, default_flow_style=None).strip(),
        mix="" if given else "; those that fewer than five people share are left out",
        privacy=guarantee(given) if given else _NOT_PRIVATE,
    )
    write_text(folder / "README.md", repository_card("model", front, text))


def guarantee(given: PrivacyGuarantee) -> str:
    """One sentence: the differential privacy that `given`, of visionclip.json, states."""
    return (
        f"The generator was trained with differential privacy for each {given.unit} of {given.patients}: "
        f"epsilon {given.epsilon:.2f} at delta {given.delta:.2g}, by the {given.accountant.upper()} accountant of "
        f"Opacus (noise {given.noise_multiplier:.3g}, sampling rate {given.sampling_rate:.3g}, {given.steps} "
        "steps).  What is drawn from it keeps that guarantee, unless filters looked at real records."
    )


def parameters(folder: Path) -> int:
    """Numbers in the safetensors of a diffusers folder, from their headers alone."""
    shapes = [weights.shapes(path) for path in folder.rglob("*.safetensors")]
    return sum(math.prod(shape) for each in shapes for shape in each.values())

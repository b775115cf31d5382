"""Findings of single photographs: each of the eleven diseases against a normal fundus, by prompts in both languages."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from clip import embed, prompts
from clip.apps import image_io, saliency
from clip.apps.photograph import Photograph, ahead, views
from clip.apps.readability import Readability
from clip.evaluation import zero_shot
from clip.loading import load_model
from clip.model.encoders import CLIP
from synth.base import ties
from synth.base.device import accelerator
from synth.base.errors import UserError
from synth.base.words import number_of
from synth.data.vocabulary import DISEASES, DR, Term

Lang = Literal["zh", "en", "both"]
UNCALIBRATED = (
    "各项均与正常眼底相比，未经校准（1.000 不等于确定），不能用于诊断。Each against a normal fundus, not calibrated "
    "(1.000 does not mean certain), not a diagnosis."
)
"""How the numbers of a prediction are to be read."""


class Finding(BaseModel):
    """One disease against a normal fundus."""

    key: str
    zh: str
    en: str
    probability: float
    """By the prompts that were asked for."""
    by_language: dict[str, float]
    """By those of each language alone."""


class SaliencyMap(BaseModel):
    """A map of what speaks for a finding, and how strongly, in log odds."""

    model_config = ConfigDict(serialize_by_alias=True)

    file: str
    finding: str
    method: str
    strongest: float = Field(alias="for")
    """What speaks for it most."""
    against: float
    """What speaks against it most."""


class Prediction(BaseModel):
    """The findings of one photograph."""

    image: str
    lang: str
    readability: Readability
    diseases: list[Finding]
    saliency: SaliencyMap | None = None

    def as_json(self) -> dict[str, Any]:
        """What `clip predict --json` prints; without a map it says nothing of one."""
        return self.model_dump(exclude_unset=True)

    def text(self) -> str:
        """Lines for people; the most probable first."""
        lines = [self.image, *filter(None, [self.readability.text()]), UNCALIBRATED]
        for row in sorted(self.diseases, key=lambda row: -row.probability):
            single = ", ".join(f"{lang} {each:.3f}" for lang, each in row.by_language.items())
            lines.append(f"{row.zh} {row.en}: {row.probability:.3f} ({single})")
        if self.saliency is not None:
            drawn = self.saliency
            span = f"{drawn.against:+.3f} to {drawn.strongest:+.3f} in log odds"
            lines.append(f"{drawn.file}: what speaks for {drawn.finding} by {drawn.method}, {span}")
        return "\n".join(lines)


class Classifier:
    """A model with the embeddings of its prompts, which every photograph shares."""

    def __init__(self, model: CLIP) -> None:
        self.model = model.to(accelerator()).eval()
        read = getattr(model.config, "languages", ("zh", "en"))  # somebody else's may read only one
        self.languages = [lang for lang in ("zh", "en") if lang in read or not read]
        tasks = prompts.tasks("diseases")
        terms = {term.key: term for term in (DR, *DISEASES)}
        self.terms: list[Term] = [terms[DR.key if name == "dr" else name] for name in tasks]
        self.axes = self._axes([*tasks.values()])

    def _axes(self, tasks: list[prompts.Task]) -> dict[str, np.ndarray]:
        """By language (K, D), whose products with an image embedding of length 1 are the log odds of the diseases."""
        pairs = [[(each.texts("zh"), each.texts("en")) for each in task.classes.values()] for task in tasks]
        worded = {
            (each.texts("zh"), each.texts("en")): each for task in tasks for each in task.classes.values()
        }
        number = {texts: k for k, texts in enumerate(worded)}  # most tasks share what they call normal
        classes, scale = list(worded.values()), self.model.logit_scale.exp().item()
        vectors = {lang: zero_shot.prototypes(self.model, classes, lang, "clip") for lang in self.languages}
        means = np.mean([*vectors.values()], axis=0)
        vectors["both"] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return {
            lang: scale
            * np.stack([each[number[present]] - each[number[absent]] for absent, present in pairs])
            for lang, each in vectors.items()
        }

    def see(self, path: Path | image_io.Inside | str) -> Photograph:
        """A photograph from a file.

        Raises:
            UserError: the picture is absent, damaged or too large.
        """
        path = Path(path) if isinstance(path, str) else path
        return views(path, self.model.config.preprocessing).read()

    def findings(self, square: np.ndarray, lang: Lang = "both") -> list[Finding]:
        """The diseases with their probabilities by the prompts of `lang`, and by those of each language alone.

        Raises:
            UserError: the model does not read `lang`.
        """
        if lang not in self.axes:
            raise UserError(f"--lang {lang}: this model reads {self.languages[0]} only; choose that, or both")
        features = embed.pixels(self.model, square[None])[0].astype(float)
        probability = {one: expit(axes @ features) for one, axes in self.axes.items()}
        return [
            Finding(
                key=term.key,
                zh=term.zh,
                en=term.en,
                probability=float(probability[lang][k]),
                by_language={one: float(probability[one][k]) for one in self.languages},
            )
            for k, term in enumerate(self.terms)
        ]

    def number(self, key: str) -> int:
        """Where a disease stands among `terms`.

        Raises:
            UserError: it is none of them.
        """
        keys = [term.key for term in self.terms]
        if key not in keys:
            raise UserError(f"--finding '{key}' is none of {', '.join(keys)}")
        return keys.index(key)


def predict(
    classifier: Classifier,
    path: Path | image_io.Inside,
    photograph: Photograph,
    lang: Lang,
    map: Path | None = None,
    finding: str | None = None,
) -> Prediction:
    """The findings of one photograph; with a `map`, a PNG of what speaks for `finding`, or for the most probable one.

    Raises:
        UserError: there is no such finding.
    """
    rows = classifier.findings(photograph.square, lang)
    said = Prediction(image=str(path), lang=lang, readability=photograph.readability, diseases=rows)
    if map is None:
        return said
    chosen = (
        classifier.number(finding)
        if finding
        else int(ties.first_largest(np.array([row.probability for row in rows])))
    )
    [drops] = saliency.occlusion(
        classifier.model, photograph.square, classifier.axes[lang][chosen : chosen + 1]
    )
    term = classifier.terms[chosen]
    metadata = {"finding": term.key, "zh": term.zh, "en": term.en, "image": path.name}
    saliency.write(map, saliency.overlay(photograph.shown, drops), **metadata)
    strength = {"for": float(drops.max()), "against": float(drops.min())}
    drawn = {"file": str(map), "finding": term.key, "method": saliency.METHOD} | strength
    said.saliency = SaliencyMap.model_validate(drawn)
    return said


def predict_all(
    spec: Path | str,
    places: Sequence[Path],
    lang: Lang,
    out: Path | None = None,
    finding: str | None = None,
    refuse: Callable[[UserError], None] = lambda error: None,
) -> Iterator[Prediction]:
    """The findings of files and folders of photographs, one after the other; those that cannot be read go to `refuse`.

    Args:
        spec: the model, as `clip.loading.load` takes it.
        out:  where the saliency goes, a .png or a folder for several photographs; None for none.

    Raises:
        UserError: no such place or finding, the only photograph cannot be read, or, at the end, some could not be.
    """
    paths = image_io.find(places)
    drawn = maps(out, paths, places)
    classifier = Classifier(load_model(spec))
    if finding:
        classifier.number(finding)
    refused = 0
    made = ahead(paths, classifier.model.config.preprocessing)
    for path, map, found in zip(paths, drawn, made, strict=True):
        try:
            if isinstance(found, UserError):
                raise found
            yield predict(classifier, path, found.read(), lang, map, finding)
        except UserError as error:
            if len(paths) == 1:
                raise
            refused += 1
            refuse(error)
    if refused:
        raise UserError(
            f"{refused} of {number_of(len(paths), 'photograph', 'was')} refused; the others are done"
        )


def maps(
    out: Path | None, paths: Sequence[Path | image_io.Inside], places: Sequence[Path]
) -> list[Path | None]:
    """Where the saliency of each photograph goes: to the file `out`, or into the folder `out` under its own name.

    Raises:
        UserError: a file for several photographs, or two photographs of one name.
    """
    if out is None:
        return [None] * len(paths)
    if [*places] == [*paths] and len(paths) == 1 and out.suffix.lower() == ".png" and not out.is_dir():
        return [out]
    if out.suffix:
        raise UserError(f"--saliency {out}: one photograph is written to a .png, several into a folder")
    names = [f"{path.stem}.png" for path in paths]
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise UserError(f"--saliency {out}: two photographs would become '{twice[0]}'; take them one by one")
    return [out / name for name in names]

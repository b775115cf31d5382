"""Which labels are sampled how often: re-weightings of the label combinations that a generator has learnt.

Each takes and gives a mix, a list of label combinations with weights.  The mix of a generator's folder counts training photographs
and holds only combinations that at least five subjects share; no re-weighting brings a rarer one back.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from synth.base.errors import UserError
from synth.base.stored import Number, Stored
from synth.data.vocabulary import FLAGS
from synth.model.labels import of_generator


class Combination(Stored):
    """One combination of labels that is drawn, and how often."""

    weight: Annotated[Number, Field(gt=0, le=1e300, allow_inf_nan=False)]
    """Above 0, relative to the other combinations of the mix."""
    labels: dict[str, Any]
    """Any of `records.LABELS`; what is absent is unknown."""
    prompt: str | None = None
    """A sentence for a generator that was trained with captions."""


Mix = list[Combination]

DISTRIBUTIONS = {
    "joint": "as often as in the training photographs",
    "uniform": "each of the eleven diseases, and none of them, equally often",
    "balanced": "the rare more often than in the photographs, the common less",
}
_BETA = 0.999  # one label's thousand photographs say nearly as much as its ten thousand


def parse_mix(entries: Any, where: str = "mix") -> Mix:
    """A mix from the values of a JSON or YAML file.

    Raises:
        UserError: no list, or an entry lacks a key or has a weight that is no positive number; `where` begins the line.
    """
    if not isinstance(entries, list):
        raise UserError(f"{where}: holds a {type(entries).__name__}, where a list of combinations is needed")
    return [Combination.parse(entry, f"{where} entry {place}") for place, entry in enumerate(entries)]


def distribution(mix: Mix, name: str) -> Mix:
    """`mix` re-weighted to one of `DISTRIBUTIONS`, in the same order."""
    return {"joint": list, "uniform": _uniform, "balanced": _balanced}[name](mix)


def shown(labels: dict[str, Any]) -> list[str]:
    """What a combination shows: diseases, DR grades above 0 and findings, else that it shows none."""
    found = [key for key in FLAGS if labels.get(key) == 1]
    found += [f"dr_grade {labels['dr_grade']}"] if labels.get("dr_grade") else []
    found += labels.get("findings") or ()
    return found or ["none"]


def _uniform(mix: Mix) -> Mix:
    """Each disease equally often, and as often none of them; DR equally often in each of its grades.

    Within a disease, combinations keep their proportions; one of several diseases counts for each of them.
    """
    diseases = [
        [label for label in shown(entry.labels) if label.startswith(("is_", "dr_grade"))] or ["none"]
        for entry in mix
    ]
    photographs = Counter[str]()
    for entry, found in zip(mix, diseases, strict=True):
        photographs.update(dict.fromkeys(found, entry.weight))
    grades = sum(label.startswith("dr_grade") for label in photographs)

    def share(label: str) -> float:
        return 1 / photographs[label] / (grades if label.startswith("dr_grade") else 1)

    return _weighted(
        mix, [entry.weight * sum(map(share, found)) for entry, found in zip(mix, diseases, strict=True)]
    )


def _balanced(mix: Mix) -> Mix:
    """Combinations weighed by their rarest label's effective number of photographs.

        p ~ n_c max over labels of 1 / E,   E = (1 - b^n) / (1 - b)       Cui et al. 2019 (1901.05555), b = .999

    n_c is the photographs of the combination, n those of a label.  Labels of fewer than a few hundred photographs
    end equally frequent, and one of ten thousand ten times as frequent as they.
    """
    photographs = Counter[str]()
    for entry in mix:
        photographs.update(dict.fromkeys(shown(entry.labels), entry.weight))
    effective = {label: (1 - _BETA**n) / (1 - _BETA) for label, n in photographs.items()}
    return _weighted(
        mix, [entry.weight / min(effective[label] for label in shown(entry.labels)) for entry in mix]
    )


def _weighted(mix: Mix, weights: list[float]) -> Mix:
    """`mix` with other weights, which are made to sum to one."""
    total = sum(weights)
    return [entry.replaced(weight=weight / total) for entry, weight in zip(mix, weights, strict=True)]


def check_vocabulary(model: Path, mix: Mix) -> None:
    """Refuse a label that the generator was not trained with: the record would state what the picture does not show.

    Raises:
        UserError: as it says.
    """
    vocabulary = of_generator(model)
    for entry in mix:
        if missing := vocabulary.missing(entry.labels):
            raise UserError(
                f"{model}: was not trained with the label '{missing[0]}'; leave it out of --labels, or train again"
            )

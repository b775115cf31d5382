"""What the entries of one cell of diagnoses say together: what is affirmed, denied, or left open."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from synth.data.vocabulary import DR, FLAGS
from synth.sources.assertions import Assertion
from synth.sources.terms import Meaning

DISEASES = (DR.key, *FLAGS)

_RETINOPATHY = (DR.key, "is_dme")
_OPENS: Mapping[str, tuple[str, ...]] = {
    DR.key: ("is_dme",), "is_aon": ("is_gc",), "is_gc": ("is_aon",), "is_rvo": ("is_dme",), "is_dm": ("is_pm", "is_crp"),
    "is_pm": ("is_dm", "is_crp", "is_aon"), "drusen": ("is_amd",), "haemorrhage": (*_RETINOPATHY, "is_rvo", "is_htr"),
    "exudate": _RETINOPATHY, "microaneurysm": _RETINOPATHY, "cotton_wool_spot": (DR.key, "is_htr"),
    "neovascularization": (*_RETINOPATHY, "is_amd", "is_crp", "is_rvo"), "macular_disease": ("is_amd", "is_dme", "is_crp"),
    "macular_edema": ("is_dme",), "central_serous": ("is_crp",), "laser_scars": _RETINOPATHY, "disc_swelling": ("is_aon",),
    "media_haze": DISEASES,
    "large_cup": ("is_gc",), "lesion": DISEASES,
}  # fmt: skip
"""What a named disease or finding leaves open of those that a cell does not name."""


class Reading(NamedTuple):
    """What one cell says."""

    labels: dict[str, Any]
    """Diseases with 0, 1, a grade, or null where they are left open; `findings` where it tells them."""
    unmapped: tuple[str, ...] = ()
    """Entries that nobody knows."""
    doubtful: tuple[str, ...] = ()
    """Entries kept as unknown: those of which nobody knows whether a denial beside them is meant for them too, and unmapped ones."""


class Summary:
    """The labels of a cell as its entries are added."""

    def __init__(self, complete: bool) -> None:
        self._complete = complete
        self._sure: dict[str, set[int]] = {}
        self._open: set[str] = set()
        self._implied: set[str] = set()
        self._findings: set[str] = set()
        self._findings_open = self._normal = False
        self.unmapped: list[str] = []
        self.doubtful: list[str] = []

    def add(self, meanings: list[Meaning] | None, assertion: Assertion, written: str) -> None:
        """Take in an entry; one that is denied must be one that can be."""
        denied = assertion is Assertion.ABSENT
        if meanings is None or (denied and any(meaning.normal for meaning in meanings)):
            self.unmapped.append(written)
            return
        for meaning in meanings:
            if assertion is Assertion.OPEN:
                self._open |= set(DISEASES) if meaning.normal else set(meaning.labels)
                self._findings_open |= bool(meaning.findings) or meaning.normal
            elif denied:
                self._deny(meaning)
            else:
                self._affirm(meaning)

    def _deny(self, meaning: Meaning) -> None:
        for key, value in meaning.labels.items():
            if value == (None if key == DR.key else 1):
                self._sure.setdefault(key, set()).add(0)
            else:
                self._open.add(key)

    def _affirm(self, meaning: Meaning) -> None:
        self._normal |= meaning.normal
        self._findings |= set(meaning.findings)
        for key, value in meaning.labels.items():
            if value is None:
                self._open.add(key)
            else:
                self._sure.setdefault(key, set()).add(value)
            if value != 0:
                self._implied |= set(_OPENS.get(key, ()))
        for finding in meaning.findings:
            self._implied |= set(_OPENS.get(finding, ()))

    def reading(self, others_unknown: bool) -> Reading:
        """What the whole cell says; what is named wins over what is left open, the worst grade counts, yes and no is neither."""
        positive = any(value for values in self._sure.values() for value in values) or bool(self._findings)
        full = not self.unmapped and (self._complete or (self._normal and not positive and not self._open))
        labels: dict[str, Any] = dict.fromkeys(DISEASES, 0) if full else {}
        labels |= dict.fromkeys(key for key in DISEASES if key in self._open | self._implied)
        for key, values in self._sure.items():
            is_contradiction = len(values) > 1 and 0 in values
            is_doubted = values == {0} and key in self._open
            labels[key] = None if is_contradiction or is_doubted else max(values)
        if self._findings or (full and not self._findings_open):
            labels["findings"] = sorted(self._findings)
        if others_unknown:
            return Reading(labels, (), (*self.doubtful, *self.unmapped))
        return Reading(labels, tuple(self.unmapped), tuple(self.doubtful))

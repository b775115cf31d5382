"""What `report.json` holds, as one type for pages, label, summary and advice.

The schema's version is raised when a key changes its meaning or goes; new keys may come without.  What a report of this
version may lack has a default, so that older ones are read too.
"""

from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from privacy.data.access import Access
from synth.base import checksums
from synth.base.errors import UserError

SCHEMA, VERSION = "visionclip-privacy-report", 3


class Part(BaseModel):
    """A part of a report; keys that it does not know are no error."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Format(Part):
    """Which schema this is."""

    name: str = SCHEMA
    version: int = VERSION


class Bounds(Part):
    """An estimate with its 95 % interval; None where it is not finite."""

    value: float | None
    low: float | None
    high: float | None
    patients: int


class NamedBounds(Part):
    """An estimate of something beside what decides."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    patients: int


class Excess(Part):
    """By how much an encoder is better than a control."""

    over: str
    value: float | None
    low: float | None
    high: float | None
    patients: int


class Verdict(Part):
    """A word, how strongly, why, and the patients that would settle an open question."""

    word: str
    level: str = ""
    why: str = ""
    patients_needed: int | None = None


class Statistic(Part):
    """How a statistic is read (`privacy.decisions.results.Scale`)."""

    name: str = ""
    chance: float = 0.0
    bar: float = 0.0
    margin: float | None = None
    two_sided: bool = True


class Check(Part):
    """A validity check and what it saw."""

    name: str
    fired: bool
    why: str


class ResultEntry(Part):
    """One attack of a threat other than T1, and the verdict on it."""

    threat: str
    attack: str
    panel: str = ""
    verdict: Verdict
    statistic: Statistic = Statistic()
    estimate: Bounds | None = None
    p: float | None = None
    p_adjusted: float | None = None
    checks: list[Check] = Field(default=[], validation_alias="gates", serialization_alias="gates")
    compared: list[NamedBounds] = []
    also: list[NamedBounds] = []
    notes: list[str] = []
    details: dict[str, JsonValue] = {}
    left_out: bool = False
    """Whether the attacker who is assumed has too little to ask it."""


class ProbeRow(Part):
    """What one attacker reads of an attribute: metric -> estimate."""

    name: str
    person: dict[str, Bounds]
    image: dict[str, Bounds]


class Permutations(Part):
    """The permutation test of an attribute."""

    statistic: str
    observed: float | None
    permutations: int
    p: float


class CurvePoint(Part):
    """One point of a learning curve."""

    training_patients: int
    person: Bounds


class AttributeEntry(Part):
    """One attribute of anyone (T1)."""

    name: str
    inference: Verdict = Field(validation_alias="reveals", serialization_alias="reveals")
    training_effect: Verdict = Field(validation_alias="training_adds", serialization_alias="training_adds")
    images: int = 0
    patients: int = 0
    classes: dict[str, int] = {}
    notes: list[str] = []
    metric: str | None = None
    """Absent where there are no rows."""
    rows: list[ProbeRow] = []
    excess: list[Excess] = []
    permutation: Permutations | None = None
    curve: list[CurvePoint] = []
    left_out: bool = False
    """As of other results."""

    @model_serializer(mode="wrap")
    def _without_an_absent_metric(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if self.metric is None:
            values.pop("metric", None)
        return values


class PatientGroup(Part):
    """Members, non-members, or the release."""

    path: str
    splits: list[str]
    fingerprint: str
    images: int
    patients: int


class Attackers(Part):
    """What the attackers have."""

    path: str
    fingerprint: str
    images: int
    patients: int
    duplicates: float = Field(validation_alias="twins", serialization_alias="twins")
    """Share of patients one of whose pictures, byte for byte, is also filed under another patient."""
    phantoms: bool
    """Whether they are drawn: then the answer is whether the encoder keeps what a picture shows, not what real eyes show."""


class Panel(Part):
    """One word for all answers to one question; what the attacker could not ask is not among them."""

    key: str
    question: str
    verdict: str
    answered: int = Field(validation_alias="asked", serialization_alias="asked")
    of: int
    why: str


class NotTested(Part):
    """What no attack asks."""

    what: str
    why: str


class Sealed(Part):
    """That scores of patients were sealed for an auditor, who gets no id, photograph or model."""

    commitment: str
    """sha256 over models, records, settings and scores."""
    scored: list[str]
    """Questions that are judged from these scores."""
    of: int
    """All questions; the others are as the controller says."""


class AuditReport(Part):
    """All that an audit says.  No number about a single patient is in it, and no id."""

    format: Format = Field(default=Format(), validation_alias="schema", serialization_alias="schema")
    protocol: str
    command: str
    finished: str
    seed: int
    config: dict[str, JsonValue]
    versions: dict[str, JsonValue]
    model: dict[str, JsonValue] | None
    generator: dict[str, JsonValue] | None
    attackers: Attackers | None
    members: PatientGroup | None
    nonmembers: PatientGroup | None
    synthetic: PatientGroup | None
    panels: list[Panel]
    attributes: list[AttributeEntry]
    results: list[ResultEntry]
    not_tested: list[NotTested]
    given: Access = "weights"
    """What the attacker has who is assumed."""
    sealed: Sealed | None = None
    exit_status: int

    @classmethod
    def read(cls, file: Path) -> Self:
        """A `report.json` of this version.

        Raises:
            UserError: absent, damaged, of another version, or no report of an audit.
        """
        report = checksums.read_json(file)
        named = report.get("schema") if isinstance(report, dict) else None
        if not isinstance(named, dict) or named.get("name") != SCHEMA:
            raise UserError(f"{file}: no report of 'privacy audit'")
        if named.get("version") != VERSION:
            raise UserError(
                f"{file}: schema {named.get('version')}, this visionclip reads {VERSION}; audit again"
            )
        try:
            return cls.model_validate(report)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise UserError(f"{file}: damaged at '{where}'; delete its folder and audit again") from None

    def as_json(self) -> dict[str, JsonValue]:
        """What `report.json` holds."""
        return self.model_dump(by_alias=True)

"""What a plan keeps of its filters: which samples are rejected, and how that was calibrated."""

from synth.base.stored import Number, Stored

ATTEMPTS = 10  # draws after the first


class CopyFilterSettings(Stored):
    """How near to a training photograph a sample may come."""

    descriptor: int
    """The version of `copies.descriptor`."""
    index: str
    """Names the descriptors of the training photographs, which are kept beside the samples."""
    records: str
    """The fingerprint of the records."""
    photographs: int
    other_modalities: int
    """Pictures that are no colour photographs, and are left out."""
    patients: int
    closeness: Number
    """A sample that is closer than this is a copy."""
    held_out_patients: int
    """What `closeness` was calibrated with."""
    held_out_flagged: int
    """Held-out patients with a photograph that would be taken for a copy."""
    false_alarms_expected: Number
    """The share of other people of whom a photograph would be taken for a copy, at most."""


class LabelThresholds(Stored):
    """What the probability of a label must not be."""

    below: Number
    """Contradicts a label that is asked for."""
    above: Number
    """Contradicts one that is to be absent."""


class RejectionRate(Stored):
    """A share of photographs, with its interval."""

    value: Number
    low: Number
    high: Number
    n: int


class LabelFilterSettings(Stored):
    """Which labels a classifier checks, and what it must say of them."""

    classifier: str
    """The sha256 of its file."""
    records: str
    """The fingerprint of the records that it was trained on and calibrated with."""
    checks: dict[str, LabelThresholds]
    unchecked: dict[str, str]
    """Labels that the classifier knows and that are not checked: why."""
    validation_rejected: RejectionRate | None = None
    """Held-out photographs with their true labels that would be rejected."""
    test_rejected: RejectionRate | None = None


class AnatomyFilterSettings(Stored):
    """Which network marks the anatomy of a sample, and which rule it must keep."""

    network: str
    """The sha256 of its weights."""
    rule: int
    """The version of `plausibility.plausible`."""


class FilterSettings(Stored):
    """What a sample must pass before it is written, and how often it is drawn again."""

    copies: CopyFilterSettings | None = None
    mislabelled: LabelFilterSettings | None = None
    anatomy: AnatomyFilterSettings | None = None
    attempts: int = ATTEMPTS
    """Draws after the first."""

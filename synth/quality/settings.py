"""The settings of an evaluation."""

from pydantic import Field, NonNegativeInt, PositiveInt

from synth.base.config import Config
from synth.classifier.classifier import ClassifierConfig


class EvaluationConfig(Config):
    """How synthetic records are evaluated."""

    n: PositiveInt = 20_000
    """Training photographs a side at most; the larger side gives as many as the smaller has."""
    held_out: str = "test"
    """The split of the real records that is tested on: `test`, `validation`, or both with a comma."""
    reported: PositiveInt = 10
    """Held-out positives, and negatives, that a disease needs to be reported."""
    headline: PositiveInt = 30
    """Held-out positives that a disease needs to count in the mean."""
    shuffled: bool = False
    """Train a control on the synthetic photographs with shuffled labels too."""
    features: str = "own"
    """What photographs are compared by; `synth evaluate --help` names the kinds."""
    compared: PositiveInt = 5_000
    """Photographs a side at most that are compared with training photographs; memory grows with its square."""
    k: PositiveInt = 5
    """Neighbours of precision, recall, density and coverage."""
    n_subsamples: PositiveInt = Field(default=50, validation_alias="halves", serialization_alias="halves")
    """Key `halves`: random halves of the patients behind the intervals of distances."""
    n_bootstrap: PositiveInt = Field(default=1000, validation_alias="rounds", serialization_alias="rounds")
    """Key `rounds`: bootstrap samples of patients behind the intervals of AUCs."""
    closest: PositiveInt = 16
    """Pairs in the private panel of nearest training photographs."""
    captions: PositiveInt = 5_000
    """Captions that are cut into words and read back."""
    seed: NonNegativeInt = 0
    """Of the choice of patients, bootstrap and halves; the classifier has its own."""
    classifier: ClassifierConfig = ClassifierConfig()
    """The classifier that learns from either side."""

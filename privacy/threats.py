"""The catalogue of threats: what each is called, which laws ask about it, what remedies there are, and its attack.

An attack more is a module in `privacy.attacks` that has what `Attack` lists, and a row here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from privacy.attack_config import AttackConfig
from privacy.decisions.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.config import AuditConfig
    from privacy.data.inputs import Inputs


class Attack(Protocol):
    """A module of `privacy.attacks`."""

    @property
    def NEEDS(self) -> "Sequence[str]":
        """Names of `Inputs` without which it is not begun; what else it may lack, it says itself."""
        ...

    @property
    def QUESTIONS(self) -> "Sequence[Result]":
        """What it answers, for a report in which it could not be done."""
        ...

    @property
    def CONFIG(self) -> "type[AttackConfig]":
        """Its settings; `AuditConfig` has them too."""
        ...

    @property
    def attack(self) -> "Callable[[Inputs, AuditConfig], list[Result]]":
        """Do it, with all that it needs."""
        ...


class Law(NamedTuple):
    """A requirement, in English and in Chinese."""

    name: str
    name_zh: str


class Remedy(NamedTuple):
    """One change to a release."""

    what: str
    why: str
    price: str
    command: str


class Threat(NamedTuple):
    """What a release may give away."""

    key: str
    """Such as "T3"."""
    name: str
    name_zh: str
    laws: tuple[Law, ...] = ()
    """What regulators ask that its attack bears on, of `LAWS`."""
    remedies: tuple[Remedy, ...] = ()
    """What may help, of `REMEDIES`."""
    attack: Callable[[], Attack] | None = None
    """Imports its module, which is no cheap one; None of a threat that has a verb of its own."""


SINGLING_OUT = Law("WP29 05/2014: singling out", "WP29 05/2014：识别到个人")
LINKABILITY = Law("WP29 05/2014: linkability", "WP29 05/2014：可关联性")
INFERENCE = Law("WP29 05/2014: inference", "WP29 05/2014：推断")
EXTRACTION = Law("EDPB 28/2024: extraction of training data", "EDPB 28/2024：训练数据的提取")
QUERIES = Law("EDPB 28/2024: obtained from queries", "EDPB 28/2024：通过查询获得")
SENSITIVE = Law(
    "PIPL Art. 55: impact assessment of sensitive data", "《个人信息保护法》第五十五条：敏感信息影响评估"
)
RESTORED = Law("PIPL Art. 73: cannot be restored", "《个人信息保护法》第七十三条：不能复原")
SMALL_RISK = Law(
    "HIPAA § 164.514(b)(1): expert determination of a very small risk",
    "HIPAA § 164.514(b)(1)：专家认定风险极小",
)
LAWS = (SINGLING_OUT, LINKABILITY, INFERENCE, EXTRACTION, QUERIES, SENSITIVE, RESTORED, SMALL_RISK)
"""In the order in which a report lists them."""

DEDUPLICATE = Remedy(
    "remove duplicates from the training records, and draw copies again",
    "a photograph that is there many times is learnt by heart first",
    "sampling compares every sample with the training photographs",
    "synth generate … --reject-copies RECORDS",
)
STOP_EARLIER = Remedy(
    "stop training earlier, or average over a shorter part of it",
    "what is told of members grows with the number of times that each was seen",
    "pictures may be worth less to train on: 'synth evaluate' tells how much",
    "synth train … --set images=FEWER",
)
TRAIN_PRIVATELY = Remedy(
    "train with differential privacy",
    "the only change that bounds what any attack can learn of one patient",
    "much of the quality, with few patients; begin with ε = 8 and lower it while the pictures bear it",
    "synth train … --config private64 --dp-epsilon 8",
)
SHARED_LABELS = Remedy(
    "draw label combinations that many patients share, or one disease at a time",
    "a combination that few patients have points at them; of fewer than five it is not repeated anyhow",
    "diseases no longer come together as they do among patients",
    "synth generate … --labels uniform",
)
DROP_ATTRIBUTE = Remedy(
    "drop or coarsen the attribute in captions and conditions",
    "what the generator is never told it cannot repeat",
    "samples cannot be asked for by that attribute",
    "synth import … (leave the column out)",
)
KEEP_EMBEDDINGS = Remedy(
    "publish no embedding of a patient, and one photograph per patient in training",
    "embeddings of two photographs of one eye find each other, as fingerprints do",
    "fewer photographs to train on",
    "clip embed … (keep its output inside)",
)
STATE_IT = Remedy(
    "say so in the model's card",
    "that traits of anyone can be read is a capability: no change to the training set takes it away",
    "none",
    "clip push … (the card states the audit)",
)
REMEDIES = (
    DEDUPLICATE,
    STOP_EARLIER,
    TRAIN_PRIVATELY,
    SHARED_LABELS,
    DROP_ATTRIBUTE,
    KEEP_EMBEDDINGS,
    STATE_IT,
)
"""In the order in which they are suggested."""


def _attribute_inference() -> Attack:
    from privacy.attacks import attribute_inference

    return attribute_inference


def _disclosure() -> Attack:
    from privacy.attacks import disclosure

    return disclosure


def _membership() -> Attack:
    from privacy.attacks import membership

    return membership


def _likelihood() -> Attack:
    from privacy.attacks import likelihood

    return likelihood


def _memorization() -> Attack:
    from privacy.attacks import memorization

    return memorization


def _repeats() -> Attack:
    from privacy.attacks import repeats

    return repeats


def _completion() -> Attack:
    from privacy.attacks import completion

    return completion


def _linkage() -> Attack:
    from privacy.attacks import linkage

    return linkage


def _captions() -> Attack:
    from privacy.attacks import captions

    return captions


def _property_inference() -> Attack:
    from privacy.attacks import property_inference

    return property_inference


CATALOGUE: tuple[Threat, ...] = (
    Threat("T1", "attribute inference", "属性推断", (SENSITIVE,), (STATE_IT,), _attribute_inference),
    Threat("T2", "attribute disclosure of members", "成员的属性泄露", (INFERENCE, QUERIES, SENSITIVE), (TRAIN_PRIVATELY, DROP_ATTRIBUTE), _disclosure),
    Threat("T3", "membership inference", "成员推断", (SINGLING_OUT, QUERIES, SENSITIVE, SMALL_RISK), (STOP_EARLIER, TRAIN_PRIVATELY), _membership),
    Threat("T6", "label inference by likelihood (diffusion classifier)", "似然标签推断（扩散分类器）", (INFERENCE, QUERIES), (TRAIN_PRIVATELY, DROP_ATTRIBUTE), _likelihood),
    Threat("T4", "copies and extraction", "复制与提取", (SINGLING_OUT, EXTRACTION, SENSITIVE, RESTORED, SMALL_RISK), (DEDUPLICATE, STOP_EARLIER), _memorization),
    Threat("T4b", "repeats within the release", "发布集内的重复", (), (DEDUPLICATE, STOP_EARLIER), _repeats),
    Threat("T5", "completion of hidden photographs", "遮挡眼底的补全", (INFERENCE, EXTRACTION, RESTORED), (STOP_EARLIER,), _completion),
    Threat("T8", "linkage of one patient's photographs", "同一患者的关联", (LINKABILITY, QUERIES, SMALL_RISK), (KEEP_EMBEDDINGS,), _linkage),
    Threat("T7", "disclosure by captions", "文字说明的泄露", (INFERENCE, EXTRACTION, SENSITIVE, SMALL_RISK), (SHARED_LABELS, DROP_ATTRIBUTE), _captions),
    Threat("T9", "property inference", "群体属性推断", (), (SHARED_LABELS,), _property_inference),
    Threat("T2c", "canary bits", "金丝雀比特", (INFERENCE,), (STOP_EARLIER, TRAIN_PRIVATELY)),  # privacy canary
)  # fmt: skip
"""In the order in which results are reported; all attacks were chosen before any audit."""


def threat(key: str) -> Threat:
    """The row of a key, such as "T3"."""
    return next(row for row in CATALOGUE if row.key == key)


def keys_of(law: Law) -> list[str]:
    """The threats whose attacks bear on a requirement."""
    return sorted(row.key for row in CATALOGUE if law in row.laws)

"""T7: what captions and label combinations of a release tell of the patients behind it.

Three questions: does any caption state who somebody is; do the words of real captions, from which models learn, tell
more of age, sex and race than the labels that they are to tell; does the release repeat rare label combinations of its
patients more than those of non-members.
"""

from collections import Counter

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.attacks import caption_list
from privacy.data import attributes
from privacy.data.attributes import Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import DIFFERENCE, Result, Scale
from privacy.scores import combinations, guesses, identifiers, ngrams, validity
from privacy.scores.combinations import RARE
from privacy.scores.identifiers import Count
from privacy.statistics import inference
from privacy.statistics.inference import Tested
from synth.base import ties
from synth.base.stats import Estimate
from synth.data.phrases import LANGUAGES

NEEDS: tuple[str, ...] = ()
CONFIG = AttackConfig
STATED = Scale("share of records that state it", 0.0, 0.0, 0.01)
BEYOND = Scale("AUC beyond what labels tell", 0.0, 0.02, 0.05, two_sided=False)
"""Patients who share a label combination; fewer make it rare."""
QUESTIONS = [
    Result("T7", "direct identifiers in captions", "members", STATED, access="data+captions"),
    Result("T7", "age, sex and race from captions", "anyone", BEYOND, access="data+captions"),
    Result("T7", "rare label combinations", "members", DIFFERENCE, access="data"),
]


def attack(inputs: Inputs, config: AttackConfig) -> list[Result]:
    """Every question that the inputs allow."""
    direct, words, rare = QUESTIONS
    found = []
    if lacking := inputs.missing(["synthetic"]):
        found.append(direct._replace(missing=f"needs {lacking}"))
    else:
        assert inputs.synthetic
        caption_list.write(inputs.kept.parent, inputs.synthetic)
        found.append(
            evaluate_identifiers(
                identifiers.count(caption_list.captions(inputs.synthetic)), _stated(inputs.members)
            )
        )
    if inputs.members is None:
        found.append(words._replace(missing=f"needs {inputs.missing(['members'])}"))
    else:
        found += _words(inputs.members, config) or [
            words._replace(missing="needs age, sex or race of the members, and their captions")
        ]
    if lacking := inputs.missing(["synthetic", "members", "nonmembers"]):
        found.append(rare._replace(missing=f"needs {lacking}"))
    else:
        made = _rare(inputs.synthetic, inputs.members, inputs.nonmembers, config)  # type: ignore[arg-type]
        found.append(made._replace(checks=validity.groups(inputs, config).checks))
    return found


# ---- who somebody is ----


def _stated(people: People | None) -> Count | None:
    return identifiers.count(caption_list.captions(people)) if people else None


def evaluate_identifiers(released: Count, of_members: Count | None = None) -> Result:
    """A release of which so many records state an identifier.

    One that is certain fails it; one that is not is for its owner to look at.  Silence is of the kinds that are looked for.

    Args:
        of_members: the same of the members' captions, which models may repeat.
    """
    records, certain, suspected = released.records, "", ""
    if not records:
        return QUESTIONS[0]._replace(
            missing="needs --synthetic RECORDS with captions; none of these records has one"
        )
    if released.certainly:
        certain = f"{released.certainly:,} of {records:,} released records state who somebody is: {_each(released.certain)}"
    elif released.stating:
        suspected = (
            f"{released.stating:,} of {records:,} released records may state who somebody is: {_each(released.by_kind)}; "
            f"look at these {released.stating:,} captions in {caption_list.NAME}"
        )
    # with this share, 80 % of such releases show one
    least = 1 - (1 - power_simulation.POWER) ** (1 / records)
    also: tuple[tuple[str, Estimate], ...] = ()
    if of_members and of_members.records:
        also = (("the members' own captions", inference.share(of_members.stating, of_members.records)),)
    return QUESTIONS[0]._replace(
        tested=Tested(inference.share(released.stating, records), 0.0 if released.stating else 1.0),
        certain=certain,
        suspected=suspected,
        silent=f"no identifier of these kinds found in {records:,} captions",
        also=also,
        details={
            "records": records,
            "stating": released.stating,
            "by_kind": dict(released.by_kind),
            "certain": dict(released.certain),
            "detection": {"least": least, "power": power_simulation.POWER},
        },
        notes=(
            "kinds: names, ages, sex, race, dates, years of birth, places, numbers, telephones, e-mail; no list holds every name",
            f"identifiers in {least:.2g} of all captions or more are found with 80 % power",
        ),
    )


def _each(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind} in {rows:,}" for kind, rows in kinds.most_common())


# ---- what words tell beyond labels ----


def _of_words(name: str) -> Result:
    return QUESTIONS[1]._replace(attack=f"{name} from captions")


def _words(people: People, config: AttackConfig) -> list[Result]:
    told = [people.table[f"caption_{lang}"].to_pylist() for lang in LANGUAGES]
    if not any(text for column in told for text in column):
        return []
    words, labels = ngrams.of_captions(told, people.patient), ngrams.of_labels(people.table, people.patient)
    found = []
    for name in attributes.ATTRIBUTES:
        task = guesses.learnable(_of_words(name), people, name, "members")
        if isinstance(task, Result):
            found.append(task)
            continue
        truth = positives(task)
        who = np.unique(people.patient[task.rows])
        read = [
            ngrams.scores(matrix[who], truth, config.folds, config.permutations, config.seed)
            for matrix in (words, labels)
        ]
        found.append(power_simulation.state_by_width(evaluate_words(name, read[0], read[1], truth, config)))
    return found


def positives(task: Task) -> np.ndarray:
    """(p, C) bool: older than the median; else of each class, one column where there are two."""
    if task.kind == "years":
        return (task.labels > np.median(task.labels))[:, None]
    if len(task.classes) < 2:
        return np.zeros((len(task.labels), 0), bool)
    columns = task.labels[:, None] == np.arange(len(task.classes))
    return columns[:, 1:] if len(task.classes) == 2 else columns


def evaluate_words(
    name: str, words: ngrams.Read, labels: ngrams.Read, truth: np.ndarray, config: AttackConfig
) -> Result:
    """Do words tell more of an attribute than labels do?  Both that and telling anything at all are needed for a p.

    Resampling those who are judged leaves out that probes that learnt from other patients would say something else;
    so the interval is wider by √(1 + k / (k - 1)) in k folds (Nadeau & Bengio 2003, doi:10.1023/A:1024068626366).

    Args:
        words, labels: what probes of either say of p patients whom they did not see.
        truth: (p, C) bool.
    """
    area = ngrams.areas(words.scores, truth, config.bootstrap, config.seed)
    plain = ngrams.areas(labels.scores, truth, config.bootstrap, config.seed)
    gains = ties.difference(area, plain)
    gains[1:] = gains[0] + (1 + config.folds / (config.folds - 1)) ** 0.5 * (gains[1:] - gains[0])
    excess = ngrams.estimate(gains, len(truth))
    beaten = (1 + int((gains[1:] <= 0).sum())) / len(gains)
    chance = ngrams.estimate(np.concatenate([[words.permuted.mean()], words.permuted]), len(truth))
    return _of_words(name)._replace(
        tested=Tested(excess, max(words.p, beaten)),
        also=(
            ("AUC of captions", ngrams.estimate(area, len(truth))),
            ("AUC of labels alone", ngrams.estimate(plain, len(truth))),
            ("AUC of captions, permuted people", chance),
        ),
        notes=("what labels tell of an attribute is medicine; what words add to it is a slip of the pen",),
        details={"p_permuted": words.p},
    )


# ---- rare combinations ----


def _rare(synthetic: People, members: People, nonmembers: People, config: AttackConfig) -> Result:
    released = combinations.stated(synthetic)
    own, others = combinations.stated(members), combinations.stated(nonmembers)
    who = combinations.holders(own, members.patient)
    crowd = [len(who.get(each, ())) for each in released]
    once, few = sum(k == 1 for k in crowd), sum(1 < k < RARE for k in crowd)
    hits, alarms = combinations.repeated(released, own, members.patient, others, nonmembers.patient)
    trial = power_simulation.rates(alarms, len(hits), _at_all, DIFFERENCE)
    judged = power_simulation.state(evaluate_rare(hits, alarms), trial, config.detection_rounds, config.seed)
    return judged._replace(
        also=(
            *judged.also,
            ("released records whose combination one member has", inference.share(once, len(released))),
        ),
        details={
            "released": len(released),
            "of_nobody": sum(k == 0 for k in crowd),
            "of_one_member": once,
            "of_a_few_members": few,
            "rare_is_fewer_than": RARE,
            **judged.details,
        },
    )


def evaluate_rare(members: np.ndarray, nonmembers: np.ndarray) -> Result:
    """(m,) and (n,) bool."""
    return QUESTIONS[2]._replace(
        tested=inference.exact_difference(members, nonmembers),
        also=(
            ("members with a rare combination that was released", _share(members)),
            ("non-members with one", _share(nonmembers)),
        ),
        notes=(f"a combination that fewer than {RARE} patients share is what a generator learns by heart",),
    )


def _at_all(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
    return inference.exact_difference(members > 0.5, nonmembers > 0.5)


def _share(hits: np.ndarray) -> Estimate:
    return inference.share(int(hits.sum()), len(hits))

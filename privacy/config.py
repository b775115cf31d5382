"""How thoroughly an audit is done: the settings of all attacks, which stand beside these, as one flat list of keys."""

from collections.abc import Sequence
from typing import cast

from pydantic import create_model

from privacy import threats
from privacy.attack_config import AttackConfig
from privacy.attacks.likelihood import LikelihoodConfig
from privacy.attacks.linkage import LinkageConfig
from privacy.canaries.release_stages import CanaryConfig
from privacy.scores.completions import CompletionConfig
from privacy.scores.membership_scores import MembershipConfig
from privacy.scores.neighbours import CopiesConfig
from privacy.threats import Threat


class AuditConfig(
    CompletionConfig, LikelihoodConfig, LinkageConfig, MembershipConfig, CanaryConfig, CopiesConfig
):
    """How thoroughly an audit is done; the thresholds of its verdicts are no options."""

    at_risk: bool = False
    """Also write `private-at-risk.csv`: the members whom attacks name.  Personal data, readable by its owner alone."""


def audit_config(catalogue: Sequence[Threat] | None = None) -> type[AuditConfig]:
    """`AuditConfig`, with the settings of whatever else is in the catalogue of threats."""
    rows = threats.CATALOGUE if catalogue is None else catalogue
    kinds: list[type[AttackConfig]] = [row.attack().CONFIG for row in rows if row.attack]
    if more := tuple(dict.fromkeys(kind for kind in kinds if not issubclass(AuditConfig, kind))):
        extended = create_model("AuditConfig", __base__=(*more, AuditConfig), __module__=__name__)
        return cast("type[AuditConfig]", extended)
    return AuditConfig

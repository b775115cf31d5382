"""What became of planted canaries along a chain of releases: every release stage judged, as JSON and as a few lines."""

import shutil
from typing import Any

from privacy.canaries import release_stages
from privacy.canaries.planting import Key
from privacy.canaries.release_stages import CanaryConfig
from privacy.data.inputs import Inputs
from privacy.decisions.decision import Decision, decide
from privacy.decisions.verdict import exit_status
from synth.base.errors import UserError
from synth.base.runs import write_json
from synth.base.stats import Estimate

SCHEMA = {"name": "visionclip-canary-score", "version": 1}
FILE = "canary.json"


def score(inputs: Inputs, key: Key, config: CanaryConfig, command: str) -> dict[str, Any]:
    """Guess the canary bits of `inputs.members` from all else that `inputs` hold; writes `canary.json` beside `inputs.kept`.

    Raises:
        UserError: no release stage, or records or marks that are not those of `key`.
    """
    if inputs.members is None:
        raise UserError("--members: the records of 'privacy canary plant' are needed")
    if not (inputs.generator or inputs.synthetic or inputs.encoder):
        raise UserError("nothing to ask; give one or more of --generator, --synthetic, --model")
    bits = release_stages.canary_bits(key, inputs.members)
    found = release_stages.margins(inputs, config)
    delta = _delta(inputs)
    decisions = decide(
        [release_stages.evaluate(stage, margin, bits, delta) for stage, margin in found.items()]
    )
    left = release_stages.remaining(found, bits, config.bootstrap, config.seed)
    made = {
        "schema": SCHEMA,
        "command": command,
        "commitment": key.commitment,
        "records": {"path": str(inputs.members.folder), "fingerprint": inputs.members.fingerprint},
        "planted": len(key.planted),
        "withheld": len(key.withheld),
        "settings": config.model_dump(mode="json"),
        "hops": [_stage(stage, each, left[stage]) for stage, each in zip(found, decisions, strict=True)],
        "exit_status": exit_status([each.answer.word for each in decisions]),
    }
    write_json(inputs.kept.parent / FILE, made)
    shutil.rmtree(inputs.kept, ignore_errors=True)
    return made


def lines(made: dict[str, Any]) -> str:
    """The same for people."""
    said = [f"{made['planted']} canary bits planted, key {made['commitment'][:16]}"]
    for place, stage in enumerate(made["hops"]):
        share = stage["guessed"]
        said.append(
            f"{stage['hop']}: {stage['verdict']}, {stage['right']} of {stage['planted']} guessed "
            f"({share['value']:.3f}, {share['low']:.3f} to {share['high']:.3f}; p = {stage['p']:.2g}), "
            f"epsilon at least {stage['epsilon_add_remove']:.2f} for a patient who is added or removed, "
            f"{stage['epsilon']:.2f} for one who is replaced, at delta = {stage['delta']:.2g}"
            + (_remains(stage["left"]) if place else "")
        )
    return "\n".join(said)


def _delta(inputs: Inputs) -> float:
    """That of a generator trained with differential privacy; 0 of any other."""
    guarantee = inputs.generator.card.differential_privacy if inputs.generator else None
    return guarantee.delta if guarantee else 0.0


def _remains(left: dict[str, Any] | None) -> str:
    if left is None:
        return ""
    return (
        f", {left['value']:.0%} of the first stage's advantage left ({left['low']:.0%} to {left['high']:.0%})"
    )


def _stage(stage: str, decision: Decision, left: Estimate | None) -> dict[str, Any]:
    result, tested = decision.result, decision.result.tested
    assert tested is not None
    return {
        "hop": stage,
        **result.details,
        "guessed": tested.estimate._asdict(),
        "p": tested.p,
        "p_adjusted": decision.p,
        "withheld": {name: estimate._asdict() for name, estimate in result.compared},
        "surest_third": dict(result.also)["of the surest third"]._asdict(),
        "left": left._asdict() if left else None,
        "verdict": decision.answer.word,
        "why": decision.answer.why,
    }

"""What a report speaks for: changes to a release, each with its reason, what it costs, and the command.

A suggestion follows from a verdict and is no promise; after a change the audit is run again.
"""

from pathlib import Path
from typing import Any, NamedTuple

from privacy.decisions.verdict import FAIL, INCONCLUSIVE, INVALID, NOT_TESTABLE
from privacy.report.contents import SCHEMA, VERSION
from synth.base.errors import UserError
from synth.base.runs import read_json


class Change(NamedTuple):
    """One thing to do about some threats."""

    threats: tuple[str, ...]
    what: str
    why: str
    price: str
    command: str


CHANGES = (
    Change(
        ("T4",),
        "remove duplicates from the training records, and draw copies again",
        "a photograph that is there many times is learnt by heart first",
        "sampling compares every sample with the training photographs",
        "synth generate … --reject-copies RECORDS",
    ),
    Change(
        ("T2c", "T3", "T4", "T5"),
        "stop training earlier, or average over a shorter part of it",
        "what is told of members grows with the number of times that each was seen",
        "pictures may be worth less to train on: 'synth evaluate' tells how much",
        "synth train … --set images=FEWER",
    ),
    Change(
        ("T2c", "T2", "T3", "T6"),
        "train with differential privacy",
        "the only change that bounds what any attack can learn of one patient",
        "much of the quality, with few patients; begin with ε = 8 and lower it while the pictures bear it",
        "synth train … --config private64 --dp-epsilon 8",
    ),
    Change(
        ("T7", "T9"),
        "draw label combinations that many patients share, or one disease at a time",
        "a combination that few patients have points at them; of fewer than five it is not repeated anyhow",
        "diseases no longer come together as they do among patients",
        "synth generate … --labels uniform",
    ),
    Change(
        ("T2", "T6", "T7"),
        "drop or coarsen the attribute in captions and conditions",
        "what the generator is never told it cannot repeat",
        "samples cannot be asked for by that attribute",
        "synth import … (leave the column out)",
    ),
    Change(
        ("T8",),
        "publish no embedding of a patient, and one photograph per patient in training",
        "embeddings of two photographs of one eye find each other, as fingerprints do",
        "fewer photographs to train on",
        "clip embed … (keep its output inside)",
    ),
    Change(
        ("T1",),
        "say so in the model's card",
        "that traits of anyone can be read is a capability: no change to the training set takes it away",
        "none",
        "clip push … (the card states the audit)",
    ),
)
"""In the order in which they are suggested."""
_MORE = {
    INVALID: "repair what the validity check names before anything is read from this result",
    INCONCLUSIVE: "audit again with more patients; 'privacy power' plans how many",
    NOT_TESTABLE: "give what is missing, or write in the card that it was not tested",
}


def suggest(path: Path) -> dict[str, Any]:
    """Changes for what failed or was revealed, and what to do about the rest.

    Args:
        path: report.json, or the folder that holds it.

    Raises:
        UserError: no report of ours, or one of another version.
    """
    file = path / "report.json" if path.is_dir() else path
    report = read_json(file)
    named = report.get("schema", {}) if isinstance(report, dict) else {}
    if named.get("name") != SCHEMA:
        raise UserError(f"{file}: no report of 'privacy audit'")
    if named.get("version") != VERSION:
        raise UserError(
            f"{file}: schema {named.get('version')}, this visionclip reads {VERSION}; audit again"
        )
    results = report["results"] + [
        {"threat": "T1", "attack": each["name"], "verdict": each["reveals"]} for each in report["attributes"]
    ]
    wanted = {FAIL, "REVEALS"}
    leaks = {each["threat"] for each in results if each["verdict"]["word"] in wanted}
    changes = [
        {**change._asdict(), "threats": sorted(leaks & set(change.threats))}
        for change in CHANGES
        if leaks & set(change.threats)
    ]
    rest = [
        {
            "threat": each["threat"],
            "attack": each["attack"],
            "word": each["verdict"]["word"],
            "what": _MORE[each["verdict"]["word"]],
            "patients_needed": each["verdict"]["patients_needed"],
        }
        for each in results
        if each["verdict"]["word"] in _MORE
    ]
    return {"report": str(file), "changes": changes, "open": rest}


def lines(suggestions: dict[str, Any]) -> str:
    """The same in lines for a terminal."""
    lines = []
    for change in suggestions["changes"]:
        lines += [
            f"{', '.join(change['threats'])}: {change['what']}",
            f"  because {change['why']}; it costs: {change['price']}",
            f"  {change['command']}",
        ]
    for each in suggestions["open"]:
        needed = f" (about {each['patients_needed']:,} patients)" if each["patients_needed"] else ""
        lines.append(f"{each['threat']} {each['attack']}: {each['word']}; {each['what']}{needed}")
    return "\n".join(lines) or "nothing was found, and nothing is open; audit again when the release changes"

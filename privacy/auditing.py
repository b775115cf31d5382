"""One audit from end to end: what was given, attacks, words, a report.

What was computed is kept in `REPORT/.cache` until the report is written, so that a repeated command continues a
killed one; then it is deleted, because embeddings and thumbnails of patients are no part of a report.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from privacy import report, scope, threats
from privacy.config import AuditConfig, audit_config
from privacy.data import phantoms
from privacy.data.access import Access, reaches
from privacy.data.attributes import ATTRIBUTES, check_names
from privacy.data.inputs import Inputs, People
from privacy.decisions import at_risk
from privacy.decisions.decision import decide
from privacy.decisions.results import Result, left_out
from privacy.report.schema import AuditReport
from privacy.sealed import salt, score_files
from privacy.targets import open_target, training_records
from privacy.targets.generator import Generator
from privacy.threats import Threat
from synth.base import runs
from synth.base.errors import UserError
from synth.data.records import SPLITS, shards


def audit(
    out: Path,
    *,
    model: Path | None = None,
    generator: Path | None = None,
    synthetic: Path | None = None,
    members: Path | None = None,
    members_split: Sequence[str] = ("train",),
    nonmembers: Path | None = None,
    nonmembers_split: Sequence[str] = ("test",),
    independent: Path | Sequence[Path] | None = None,
    attackers: Path | None = None,
    split: Sequence[str] = SPLITS,
    attributes: Sequence[str] = tuple(ATTRIBUTES),
    given: Access = "weights",
    seal: Path | None = None,
    config: AuditConfig | None = None,
    command: str = "privacy.audit",
    tell: runs.Tell = runs.quiet,
    engine: str = "local",
    workers: int = 0,
) -> AuditReport:
    """Attack a release and write what it reveals into a folder; the same call again continues, or gives the report.

    Args:
        out:         folder for `report.json`, the pages and the label.
        model:       a ckpt.pt of `clip train`, or embeddings (.npy, .parquet).
        generator:   a generator of `synth train`; `independent` was trained on other patients; with several,
                     membership is what exceeds their mean.
        synthetic:   released records.
        members:     records of patients that were trained on, of some splits; `nonmembers` of others of the same source.
        attackers:   records of patients whose attributes the attacker knows; without, phantoms are drawn.
        attributes:  what to infer: some of age, sex and race.
        given:       what the attacker has who is assumed; questions that need more are left out, and the report says so.
        seal:        folder for the scores of members and non-members under salted ids, for an auditor
                     (`privacy.sealed`); the key is `private-seal.key` in `out`.
        command:     what the report says that it came of.
        tell:        is given the lines that say what the audit will take, before it begins.
        engine, workers: who embeds photographs: local or ray, and processes, 0 for one per core.

    Raises:
        UserError: there is nothing to audit, a file is wrong, or the folder holds something else.
    """
    if model is None and generator is None and synthetic is None:
        raise UserError("nothing to audit; give --model ckpt.pt, --generator FOLDER or --synthetic FOLDER")
    if seal is not None:
        if members is None or nonmembers is None:
            raise UserError(
                "--seal: seals scores of members and non-members; give --members and --nonmembers"
            )
        score_files.check(seal, out)
    kept, settings = out / ".cache", config or audit_config()()
    names = check_names(list(attributes))

    def people(folder: Path | None, splits: Sequence[str]) -> People | None:
        return People(folder, splits, kept) if folder else None

    encoder = open_target(model, engine, workers) if model else None
    paths = [independent] if isinstance(independent, Path) else list(independent or ())
    references = [Generator(path) for path in paths]
    inputs = Inputs(
        kept,
        encoder=encoder,
        generator=Generator(generator) if generator else None,
        synthetic=people(synthetic, SPLITS),
        members=people(members, members_split),
        nonmembers=people(nonmembers, nonmembers_split),
        attackers=people(attackers, split),
        independent=references[0] if references else None,
        attributes=names,
        references=references[1:],
        given=given,
    )
    doubt, inputs = members_doubt(inputs), inputs.limited()
    with scope.claimed(inputs, settings, tell, sealed=seal is not None) as finished:
        if finished is not None:
            if seal and not all((seal / f"{group}.parquet").exists() for group in score_files.GROUPS):
                raise UserError(
                    f"--seal {seal}: lacks the scores, and {out} is finished; choose another --out"
                )
            return finished
        if inputs.encoder is not None and inputs.encoder.has_untrained and inputs.attackers is None:
            inputs.attackers = phantoms.attackers(kept, inputs.encoder.preprocessing.size, settings.seed)
        made = run(inputs, settings, command, doubt, seal)
        if seal and made.sealed:
            tell(
                [
                    f"{seal}: two files for the auditor, commitment {made.sealed.commitment}; {out / salt.KEY} stays with you"
                ]
            )
        return made


def run(
    inputs: Inputs, config: AuditConfig, command: str, doubt: str | None = None, seal: Path | None = None
) -> AuditReport:
    """Run every attack that `inputs` allow and write `report.json` and `report.html` beside `inputs.kept`.

    Args:
        doubt: what `members_doubt` says of all that was given; None asks it of `inputs`.
        seal:  folder for scores under salted ids.

    Raises:
        UserError: a file is wrong, or the attackers' records state none of the attributes asked for.
    """
    doubt = members_doubt(inputs) if doubt is None else doubt
    results = [
        result._replace(doubt=doubt)
        for threat in threats.CATALOGUE
        for result in results_of(threat, inputs, config)
    ]
    made = report.build(inputs, decide(results), config, command)
    if seal:
        key = inputs.kept.parent / salt.KEY
        made = made.model_copy(update={"sealed": score_files.write(seal, key, made, results)})
    if config.at_risk:
        at_risk.write(inputs.kept.parent, results)
    report.write(inputs.kept.parent, made)
    shutil.rmtree(inputs.kept, ignore_errors=True)
    return made


def members_doubt(inputs: Inputs) -> str:
    """Why members may not have been trained on, by the account of what is audited; empty where nothing speaks against it.

    Raises:
        UserError: a model was trained on the non-members, or on another split than the members'.
    """
    released = inputs.synthetic.folder if inputs.synthetic else None
    learnt = training_records.fingerprints(inputs.generator, released, inputs.encoder)
    groups = {"--members": inputs.members, "--nonmembers": inputs.nonmembers}
    given = {name: people for name, people in groups.items() if people}
    training_records.check_splits(
        learnt,
        {name: people.records for name, people in given.items()},
        {
            name: [split for split in people.splits if shards(people.folder, split)]
            for name, people in given.items()
        },
    )
    if inputs.members is None:
        return ""
    return training_records.doubt(learnt, inputs.members.records, inputs.members.folder, inputs.generator)


def results_of(threat: Threat, inputs: Inputs, config: AuditConfig) -> list[Result]:
    """What the attack of a threat found, or what it would need."""
    if threat.attack is None:
        return []
    attack, given = threat.attack(), inputs.given
    if not any(reaches(given, question.access) for question in attack.QUESTIONS):
        results = list(attack.QUESTIONS)
    elif missing := inputs.missing(attack.NEEDS):
        results = [question._replace(missing=f"needs {missing}") for question in attack.QUESTIONS]
    else:
        results = attack.attack(inputs, config)
    return [each if reaches(given, each.access) else left_out(each, given) for each in results]

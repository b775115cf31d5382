"""What an audit was asked for, and what it will take: its folder is claimed, its passes over photographs are counted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from privacy.config import AuditConfig
from privacy.data import phantoms
from privacy.data.inputs import Inputs, People
from privacy.report.schema import AuditReport
from privacy.scores import mosaics
from synth import phantom
from synth.base import runs, speed
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.words import number_of
from synth.data import classes

_FILE, _LAST = "audit.json", "label.svg"
_GUESSES, _QUERIES = 2, 8  # candidates of a label; passes of SimA, PIA and SecMI together
_RESAMPLED = 0.8e6
"""Operations of probes for an attribute, a patient, and a permutation or resample: measured with 515 patients."""
_COMPARISON = 2 * (54 * 256 + mosaics.COMPARED + 64)
"""Operations for a picture and a photograph: 54 views, halves, the embedding of identity."""
_LAYING = 0.7e9
"""Operations for a picture that is laid on photographs: 70 poses of 12 candidates, and 49 places of windows on four of them."""


class Work(NamedTuple):
    """What an audit does with models, counted: passes over one photograph each."""

    drawn: int
    """Phantoms."""
    embedded: int
    """Passes of encoders, untrained ones too."""
    denoised: int
    """Passes of generators."""
    compared: int
    """Released pictures times photographs, of the search for copies."""
    laid: int
    """Pictures that are laid on photographs, in that search."""
    kept: int
    """Bytes of decoded photographs and embeddings, until the report is written."""


@contextmanager
def claimed(
    inputs: Inputs, config: AuditConfig, tell: runs.Tell = runs.quiet, *, sealed: bool = False
) -> Iterator[AuditReport | None]:
    """Make the folder beside `inputs.kept` the home of this audit; gives its report where that is finished.

    Args:
        tell:   is given the lines that say what the audit will take, before it begins.
        sealed: whether its scores are sealed too, which an audit that is finished cannot do any more.

    Raises:
        UserError: the folder holds another audit, or something else.
    """
    out = inputs.kept.parent
    runs.claim(out, _FILE, request(inputs, config) | ({"seal": True} if sealed else {}), "audit")
    if (out / _LAST).exists() and not inputs.kept.exists():  # written last, deleted last
        tell([f"{out}: finished, its report is there; nothing to do"])
        yield AuditReport.read(out / "report.json")
        return
    tell(lines(inputs, config))
    try:
        yield None
    except UserError:  # the command will be given in other words, for the same folder
        (out / _FILE).unlink(missing_ok=True)
        raise


def request(inputs: Inputs, config: AuditConfig) -> dict[str, JsonValue]:
    """All that decides what a report says."""
    encoder, generator, independent = inputs.encoder, inputs.generator, inputs.independent
    groups: dict[str, JsonValue] = {name: people and people.fingerprint for name, people in _groups(inputs)}
    more: dict[str, JsonValue] = (
        {"references": [each.fingerprint for each in inputs.references]} if len(inputs.references) > 1 else {}
    )
    if inputs.given != "weights":
        more["given"] = inputs.given
    return {
        "model": encoder.metadata["sha256"] if encoder else None,
        "generator": generator.fingerprint if generator else None,
        "independent": independent.fingerprint if independent else None,
        **groups,
        **more,
        "attributes": list(inputs.attributes),
        "config": config.model_dump(mode="json"),
    }


def _groups(inputs: Inputs) -> list[tuple[str, People | None]]:
    return [
        ("attackers", inputs.attackers),
        ("members", inputs.members),
        ("nonmembers", inputs.nonmembers),
        ("synthetic", inputs.synthetic),
    ]


def lines(inputs: Inputs, config: AuditConfig) -> Iterator[str]:
    """What is said before an audit begins: where it writes, whom it asks about, what it will take, and what takes less."""
    yield f"{inputs.kept.parent}: report.html and report.json are written there; the same command goes on from there"
    said = [
        f"{group} {number_of(len(found.ids), 'photograph')} of {number_of(found.cohort.patients, 'patient')}"
        for group, found in _groups(inputs)
        if found
    ]
    if _draws(inputs):
        said.insert(
            0,
            f"attackers {phantoms.PICTURES:,} photographs of about {phantoms.PATIENTS:,} patients, phantoms that are drawn first",
        )
    work, told = counted(inputs, config), cost(inputs, config)
    yield f"{'; '.join(said)}: {work.embedded:,} passes of encoders, {work.denoised:,} of generators, {work.compared:,} comparisons of released pictures with photographs"
    yield f"{told.words()} ({told.basis})"
    small = cost(inputs, load(AuditConfig, Path("quick")))
    if small.words() != told.words():
        yield f"smaller: --config quick, for a first look, with an --out of its own: {small.words()}"
    tables = {
        name: group.table for name, group in _groups(inputs) if group and name in ("members", "nonmembers")
    }
    yield from filter(None, [classes.warning(tables, "members and nonmembers")])


def counted(inputs: Inputs, config: AuditConfig) -> Work:
    """Count the passes of the attacks that `inputs` allow; several share what they embed."""
    encoder, generator, draws = inputs.encoder, inputs.generator, _draws(inputs)
    groups = (
        [group for group in (inputs.members, inputs.nonmembers) if group]
        if inputs.members and inputs.nonmembers
        else []
    )
    learnt = draws or (len(inputs.attackers.ids) if inputs.attackers else 0)
    both = sum(len(group.ids) for group in groups)
    released = len(inputs.synthetic.ids) if inputs.synthetic and groups else 0
    embedded = 0
    if encoder:
        untrained = encoder.has_untrained
        embedded = learnt * (1 + untrained * config.untrained_seeds) + 2 * both * (1 + untrained) + released
    denoised = sum(_denoised(group, config) for group in groups) if generator else 0
    if generator:
        denoised += len(inputs.references) * sum(_referred(group, config) for group in groups)
    if generator and inputs.independent:
        grid = config.completion_draws * config.completion_steps * config.completion_repeats
        chosen = sum(min(group.cohort.patients, config.completion_patients) for group in groups)
        denoised += 2 * chosen * grid
    pictures = (encoder.preprocessing.size**2 if encoder else 0) + (
        generator.preprocessing.size**2 if generator else 0
    )
    wide = encoder.metadata["dimensions"] if encoder else 0
    everybody = [group for group in (inputs.members, inputs.nonmembers) if group]
    searched = min(len(inputs.synthetic.ids), config.copies_searched) if inputs.synthetic else 0
    compared = searched * sum(len(group.ids) for group in everybody) if inputs.members else 0
    nonmembers = inputs.nonmembers.cohort.patients if inputs.nonmembers else 0
    laid = searched * (2 * len(everybody) - 1) + min(nonmembers, config.copies_patients) if compared else 0
    return Work(
        draws,
        embedded,
        denoised,
        compared,
        laid,
        3 * pictures * (learnt + both + released) + 4 * wide * embedded,
    )


def _referred(group: People, config: AuditConfig) -> int:
    """Passes of a reference model over one group: the denoising error and SimA."""
    share = min(1.0, config.membership_patients / group.cohort.patients)
    return round(share * len(group.ids) * (len(config.membership_steps) * config.membership_draws + 1))


def _denoised(group: People, config: AuditConfig) -> int:
    """Passes of a generator over one group: membership, its controls, and the likelihood of labels."""
    grid = 2 * len(config.membership_steps) * config.membership_draws  # told what a photograph shows, and not
    labels = config.likelihood_labels * _GUESSES * len(config.likelihood_steps) * config.likelihood_draws
    a_patient = len(group.ids) / group.cohort.patients

    def photographs(max_count: int) -> float:
        return min(group.cohort.patients, max_count) * a_patient

    return round(
        photographs(config.membership_patients) * grid
        + photographs(config.membership_references) * grid
        + photographs(config.membership_controls) * (grid + _QUERIES)
        + photographs(config.likelihood_patients) * labels
    )


def cost(inputs: Inputs, config: AuditConfig) -> speed.Cost:
    """Hours and bytes of an audit on this machine."""
    machine, work = speed.measured(), counted(inputs, config)
    operations = work.embedded * (inputs.encoder.operations if inputs.encoder else 0)
    operations += work.denoised * (inputs.generator.operations if inputs.generator else 0)
    operations += _COMPARISON * work.compared + _LAYING * work.laid
    if inputs.encoder:
        patients = (
            phantoms.PATIENTS if work.drawn else inputs.attackers.cohort.patients if inputs.attackers else 0
        )
        operations += (
            _RESAMPLED * len(inputs.attributes) * patients * (config.permutations + config.bootstrap)
        )
    return speed.Cost(
        hours=machine.hours(operations) + work.drawn * _seconds(inputs, config) / 3600,
        bytes=work.kept,
        basis=f"{operations / 1e12:.2g} TFLOP, {machine.basis}; probes of members not counted",
    )


def _draws(inputs: Inputs) -> int:
    """Phantoms that stand in for attackers' patients."""
    return (
        phantoms.PICTURES
        if inputs.attackers is None and inputs.encoder and inputs.encoder.has_untrained
        else 0
    )


def _seconds(inputs: Inputs, config: AuditConfig) -> float:
    """That one phantom takes, by drawing one."""
    if not _draws(inputs) or not inputs.encoder:
        return 0.0
    population = phantoms.population(inputs.encoder.preprocessing.size, config.seed)
    phantom.record(population, 0)  # the first loads what it takes
    start = time.thread_time()
    phantom.record(population, 1)
    return time.thread_time() - start

"""Verbs that show whether an audit can be relied on: enough patients, and an installation that works."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from synth.base.command import Json, show


def power(
    patients: Annotated[
        int | None, typer.Option(help="in each group; what they find, and not how many it takes")
    ] = None,
    attacks: Annotated[int, typer.Option(help="that are asked, for which p-values are adjusted")] = 1,
    rate: Annotated[float, typer.Option(help="of non-members whose attribute is guessed right anyway")] = 0.5,
    power: Annotated[float, typer.Option(help="share of audits that shall find the leak")] = 0.8,
    json: Json = False,
) -> None:
    """Say how many patients an audit needs to find a leak of a given size.

    \b
    Examples:
      privacy power
      privacy power --attacks 12 --rate 0.75
      privacy power --patients 534 --json
    """
    from privacy.decisions import power as plan

    made = plan.table(rate, power, attacks, patients)
    show(made, json, plan.text(made))


def selftest(
    seed: Annotated[int, typer.Option(help="of all that is drawn")] = 0,
    json: Json = False,
) -> None:
    """Plant leaks of known size and show that the audit finds them, and nothing where there is none.

    Asks every decision rule without a leak; plants leaks in scores, in what members alone show, in
    embeddings and in a released set; and gives one group a noisier camera, which must be INVALID.
    Takes some three minutes.  Exit status: 0 all is as it must be; 1 something is not, and its line
    begins with WRONG: do not rely on audits of this installation.

    \b
    Examples:
      privacy selftest
      privacy selftest --seed 1 --json
    """
    from privacy.validation import selftest as tests

    checks = []
    with TemporaryDirectory() as folder:
        for check in tests.run(Path(folder), seed):
            checks.append(check)
            if not json:
                typer.echo(tests.line(check))
    made = tests.table(checks)
    right = sum(check.passed for check in checks)
    show(made, json, f"{right} of {len(checks)} checks are as they must be")
    raise typer.Exit(0 if made["passed"] else 1)

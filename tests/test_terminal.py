"""What a person at a terminal is told: nothing where that is wanted, what to open and to type next, and completion of verbs."""

import io
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from synth.base.command import command, say, then
from synth.base.runs import progress

COMMANDS = ("synth", "clip", "privacy")
WITHOUT_RESULT = {"clip demo"}
"""Verbs that print nothing a machine would read."""


def verbs() -> Iterator[tuple[str, Any]]:
    """Each verb by its whole name."""

    def walk(name: str, found: Any) -> Iterator[tuple[str, Any]]:
        inner = getattr(found, "commands", None)
        if inner is None:
            yield name, found
            return
        for verb, each in inner.items():
            yield from walk(f"{name} {verb}", each)

    for name in COMMANDS:
        yield from walk(name, typer.main.get_command(import_module(f"{name}.commands.app").app))


@pytest.mark.parametrize("name, verb", verbs(), ids=lambda each: each if isinstance(each, str) else "")
def test_a_verb_can_be_quiet_and_answers_machines(name, verb):
    options = {option for parameter in verb.params for option in parameter.opts}
    assert "--quiet" in options
    assert "--json" in options or name in WITHOUT_RESULT


def test_quiet_leaves_results_and_errors_alone():
    app = command("synth", "Make photographs.")

    @app.command()
    def draw() -> None:
        say(["this takes an hour"])
        typer.echo("drawn")
        bar = progress("drawing", 3)
        typer.echo(f"progress {'off' if bar.disable else 'on'}")

    @app.command()
    def other() -> None:
        """A second verb, so that the first is named."""

    loud, quiet = (CliRunner().invoke(app, ["draw", *more]) for more in ([], ["--quiet"]))
    assert loud.stdout == "drawn\nprogress on\n" and loud.stderr == "this takes an hour\n"
    assert quiet.stdout == "drawn\nprogress off\n" and quiet.stderr == ""
    again = CliRunner().invoke(app, ["draw"])
    assert again.stderr == loud.stderr  # the wish ends with its command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "stream, shown",
    [(Terminal(), "open: a b/report.html\nnext: clip train --data 'a b'\n"), (io.StringIO(), "")],
)
def test_what_comes_next_is_told_at_a_terminal_alone(monkeypatch, stream, shown):
    """A script reads what it read before; a path with a space can be pasted."""
    monkeypatch.setattr(sys, "stderr", stream)
    then("clip", "train", "--data", Path("a b"), open=Path("a b/report.html"))
    assert stream.getvalue() == shown


@pytest.mark.parametrize(
    "name, begun, whole", [("synth", "im", "import"), ("clip", "tr", "train"), ("privacy", "au", "audit")]
)
def test_a_shell_completes_verbs(name, begun, whole):
    app = import_module(f"{name}.commands.app").app
    asked = {f"_{name.upper()}_COMPLETE": "complete_bash", "COMP_WORDS": f"{name} {begun}", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], env=asked, prog_name=name).stdout.split() == [whole]

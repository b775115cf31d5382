"""An option that takes one value is refused where it is given twice: the first would be lost without a word."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

COMMANDS = ("synth", "clip", "privacy")


def app_of(command: str) -> Any:
    return import_module(f"{command}.commands.app").app


def verbs(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb under a group, with the words that lead there."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from verbs(found, (*path, name))
        else:
            yield (*path, name), found


def options() -> Iterator[Any]:
    for command in COMMANDS:
        for path, verb in verbs(typer.main.get_command(app_of(command))):
            for option in verb.params:
                if option.param_type_name == "option" and not option.is_eager:
                    yield pytest.param(command, path, option, id=" ".join([command, *path, option.opts[0]]))


def invoke(command: str, *arguments: str) -> Any:
    return CliRunner().invoke(app_of(command), [*arguments])


@pytest.mark.parametrize("command, path, option", options())
def test_an_option_is_refused_twice_unless_it_is_a_list(command, path, option):
    name = max(option.opts, key=len)
    given = [name, name] if option.is_flag else [name, "1", f"{name}=2"]
    result = invoke(command, *path, *given)
    shown = "/".join(max(names, key=len) for names in (option.opts, option.secondary_opts) if names)
    values = "" if option.is_flag else " ('1' and '2')"
    line = f"{command}: {shown} is given twice{values}; give it once\n"
    assert (result.stderr == line) == (not option.multiple)
    assert result.exit_code == 2 or option.multiple


def test_lists_are_still_lists():
    multiple = {param.id for param in options() if param.values[2].multiple}
    lists = {"clip train --data", "clip eval --data", "clip embed --data", "clip eval --prompts"}
    assert {"synth train --data", "clip eval --model", "clip train --set"} | lists <= multiple


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["train", "--out", "A", "--out", "B"], "--out is given twice ('A' and 'B')"),
        (["train", "--out=A", "--data", "x", "--out", "A"], "--out is given twice ('A' and 'A')"),
        (["embed", *["--split", "A"] * 3], "--split is given 3 times ('A' and 'A' and 'A')"),
        (["demo", "--model", "m", "--browser", "--no-browser"], "--browser/--no-browser is given twice"),
        (["train", "--dry-run", "--data", "A", "--dry-run"], "--dry-run is given twice"),
        (
            ["eval", "--task", "linear", "--task", "vqa"],
            "--task is given twice ('linear' and 'vqa')",
        ),
    ],
)
def test_the_line_tells_what_was_given(arguments, said):
    result = invoke("clip", *arguments)
    assert (result.exit_code, result.stderr, result.stdout) == (2, f"clip: {said}; give it once\n", "")


def test_a_short_name_and_a_long_one_are_one_option():
    from synth.base.command import App

    app = App()

    @app.command()
    def show(name: str = typer.Option("", "--name", "-n")) -> None:
        typer.echo(name)

    @app.command()
    def other() -> None: ...

    from synth.base.errors import UserError

    result = CliRunner().invoke(app, ["show", "-n", "a", "--name", "b"])
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == "--name is given twice ('a' and 'b'); give it once"
    assert CliRunner().invoke(app, ["show", "-na"]).stdout == "a\n"


def test_help_answers_whatever_stands_beside_it():
    result = invoke("clip", "train", "--data", "A", "--data", "B", "--help")
    assert result.exit_code == 0 and "Usage" in result.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["train"], "missing option '--data'"),
        (["train", "--data"], "option '--data' requires an argument"),
        (["train", "--date", "x"], "no such option:? '?--date"),  # click's quotes came and went
    ],
)
def test_other_mistakes_are_one_line_that_names_the_help(arguments, said):
    result = invoke("clip", *arguments)
    assert result.exit_code == 2 and re.match(f"clip: {said}", result.stderr)
    assert result.stderr.count("\n") == 1 and result.stderr.endswith(" --help'\n")

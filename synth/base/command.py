"""What the three commands share: errors as one line, options given once, `--version`, logging, what is printed where."""

import inspect
import json
import logging
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from synth.base import recipes, stopping
from synth.base.disk_errors import disk_error, file_error, memory_error
from synth.base.errors import UserError
from synth.base.runs import is_first_process
from synth.base.silence import is_silent, silent

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Set = Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="over the config; may repeat")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="print the resolved config as JSON, say what it would cost, and stop"),
]


_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="say nothing but results and errors")]


def config_option(package: str) -> Any:
    """The option `--config` of a verb whose settings have recipes in `package`."""
    return typer.Option(
        metavar="NAME|FILE",
        help=f"a recipe ({', '.join(recipes.names(package))}), or a YAML file of what differs",
    )


class Verb(TyperCommand):
    """A verb that refuses an option which is given twice, unless it is a list: the first would be lost without a word."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = self.make_parser(ctx).parse_args([*args])[2]
        if not any(parameter.is_eager for parameter in given):  # --help answers whatever stands beside it
            for option, times in Counter(given).items():
                if isinstance(option, TyperOption) and times > 1 and not (option.multiple or option.count):
                    raise UserError(self._twice(ctx, args, option, times))
        return super().parse_args(ctx, args)

    def _twice(self, ctx: Any, args: list[str], option: TyperOption, times: int) -> str:
        name = "/".join(max(names, key=len) for names in (option.opts, option.secondary_opts) if names)
        values = ""
        if not option.is_flag:
            parser = self.make_parser(ctx)
            parser.add_option(
                obj=option, opts=option.opts, dest=option.name, action="append", nargs=option.nargs
            )
            values = f" ({' and '.join(map(repr, parser.parse_args([*args])[0][option.name]))})"
        return f"{name} is given {'twice' if times == 2 else f'{times} times'}{values}; give it once"


class App(typer.Typer):
    """A Typer app whose verbs are each a `Verb`, and can be quiet."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Verb, **settings: Any
    ) -> Any:
        register = super().command(name, cls=cls, **settings)
        return lambda function: register(_with_quiet(function))


def _with_quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same verb with the option `--quiet`; at a terminal it says at once that it is loading."""

    @wraps(function)
    def verb(*arguments: Any, quiet: bool = False, **options: Any) -> Any:
        with silent(quiet):
            if sys.stderr.isatty():
                say(["loading"])
            return function(*arguments, **options)

    signature = inspect.signature(function)
    option = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet)
    verb.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    verb.__annotations__ = {**function.__annotations__, "quiet": _Quiet}
    return verb


_UsageError: Any = typer.BadParameter.__base__  # click's; newer versions of typer carry it within themselves
_NoArguments: Any = getattr(sys.modules[_UsageError.__module__], "NoArgsIsHelpError", ())


class Command(TyperGroup):
    """A command whose user errors are one line on stderr and exit status 2; stopped, it says so and ends with 130 or 143."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with stopping.by_signal():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say([f"{self.name}: {str(stop) or stopping.WORDS}"])
            raise typer.Exit(stopping.status(stop)) from None
        except UserError as error:
            line = str(error)
        except _UsageError as error:
            if isinstance(error, _NoArguments):
                raise  # shows the help
            told = error.format_message().rstrip(".")
            line = f"{told[:1].lower()}{told[1:]}; see '{error.ctx.command_path if error.ctx else self.name} --help'"
        except (MemoryError, RuntimeError) as error:
            if not (short := memory_error(error)):
                raise
            line = str(short)
        except OSError as error:
            named = isinstance(error.filename, str | bytes) and error.filename
            shown = (
                file_error(Path(os.fsdecode(named)), error) if named else disk_error(Path("output"), error)
            )
            if not isinstance(shown, UserError):
                raise
            line = str(shown)
        typer.echo(f"{self.name}: {_printable(' '.join(line.splitlines()))}", err=True)
        raise typer.Exit(2)


def _printable(line: str) -> str:
    """A line whose characters are all seen: a value of a file may hold what a terminal obeys."""
    return "".join(each if each.isprintable() or each == "\u3000" else ascii(each)[1:-1] for each in line)


def command(name: str, help: str, *examples: str) -> App:
    """A Typer app for one of our commands, with `--version`; its help ends with `examples`."""
    help = "\n".join([help, "", "\b", "Examples:", *(f"  {example}" for example in examples)])
    app = App(
        name=name,
        help=help,
        cls=Command,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{name} (visionclip) {version('visionclip')}")
            raise typer.Exit

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="print the version and stop"
        ),
        verbose: bool = typer.Option(False, "--verbose", "-v", help="log what the libraries do"),
    ) -> None:
        logging.basicConfig(
            level=logging.DEBUG if verbose else logging.WARNING,
            stream=sys.stderr,
            format="%(name)s: %(message)s",
        )

    options.__doc__ = help
    return app


def show(result: dict, as_json: bool, text: str | None = None) -> None:
    """Print a result: JSON for machines; `text`, or else `key: value` lines, for people."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo("\n".join(_lines(result)) if text is None else text)


def say(lines: Iterable[str]) -> None:
    """Say something to people: on stderr, so that stdout holds results alone, and from the first of several processes."""
    if is_first_process() and not is_silent():
        for line in lines:
            typer.echo(line, err=True)


def then(*command: object, open: Path | None = None) -> None:
    """Say what can be opened now, and the command that comes next; to people at a terminal alone."""
    if sys.stderr.isatty():
        say(
            ([f"open: {open}"] if open else [])
            + ([f"next: {shlex.join(map(str, command))}"] if command else [])
        )


def show_dry(settings: dict, lines: Iterable[str]) -> None:
    """What `--dry-run` prints: JSON alone on stdout, and words for people on stderr."""
    typer.echo(json.dumps(settings, indent=2, ensure_ascii=False))
    say(lines)


def show_pushed(result: dict, dry_run: bool, as_json: bool) -> None:
    """What a push did, or what it would do."""
    if dry_run:
        show_dry(result, () if as_json else _lines(result))
    else:
        show(result, as_json)


def _lines(result: dict) -> list[str]:
    return [
        f"{k}: {json.dumps(v, ensure_ascii=False) if isinstance(v, dict) else v}" for k, v in result.items()
    ]

"""What the three commands share: errors as one line, `--version`, logging."""

import json
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from synth.base.errors import UserError
from synth.base.runs import disk_error

Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


class Command(TyperGroup):
    """A command whose user errors are one line on stderr and exit status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            line = str(error)
        except OSError as error:
            shown = disk_error(Path(error.filename or "output"), error)
            if not isinstance(shown, UserError):
                raise
            line = str(shown)
        typer.echo(f"{self.name}: {line}", err=True)
        raise typer.Exit(2)


def command(name: str, help: str, *examples: str) -> typer.Typer:
    """A Typer app for one of our commands, with `--version`; its help ends with `examples`."""
    help = "\n".join([help, "", "\b", "Examples:", *(f"  {example}" for example in examples)])
    app = typer.Typer(
        name=name,
        help=help,
        cls=Command,
        no_args_is_help=True,
        add_completion=False,
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
    lines = (
        f"{k}: {json.dumps(v, ensure_ascii=False) if isinstance(v, dict) else v}" for k, v in result.items()
    )
    typer.echo("\n".join(lines) if text is None else text)

"""A hook of mkdocs: puts the help of every verb where docs/commands.md says `<!-- help of synth -->`.

`mkdocs.yml` names this file under `hooks`.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the help of the commands that it asks for."""
    return re.sub(r"<!-- help of (\w+) -->", lambda found: "\n".join(sections(found[1])), markdown)


def sections(name: str) -> Iterator[str]:
    """A heading and a block for each verb of a command, in the order of its own help."""
    app = import_module(f"{name}.commands.app").app
    yield from _verbs(typer.main.get_command(app), None, name)


def _verbs(command: Any, parent: Any, name: str) -> Iterator[str]:
    context = command.context_class(
        command, info_name=name.rsplit(" ")[-1], parent=parent, max_content_width=110
    )
    if hasattr(command, "commands"):
        for verb, inner in command.commands.items():
            yield from _verbs(inner, context, f"{name} {verb}")
    else:
        yield f"\n### {name}\n\n```text\n{command.get_help(context)}\n```\n"

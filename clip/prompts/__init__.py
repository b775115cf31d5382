"""Zero-shot tasks as data: which records make a class, and which texts describe it, in both languages.

One YAML file holds one or more tasks.  A class is `where` (records) and `labels` (what a caption of it would
state, worded by every template of `synth.data.captions`: the style that the encoder learnt), or `zh` and
`en` texts of its own.  `normal` stands for the eleven diseases absent and no finding.
"""

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from clip.prompts.classes import NORMAL, Class, Condition, Lang, Task
from clip.prompts.own import FolderTask, OwnClasses
from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError

__all__ = ["NORMAL", "Class", "Condition", "File", "Lang", "Task", "files", "own", "tasks"]


class File(Config):
    """A file of prompts."""

    on_request: bool = False
    """Evaluated only if it is asked for by name."""
    tasks: dict[str, Task]
    """By name."""


@cache
def files() -> dict[str, File]:
    """All files of prompts by name."""
    folder = Path(__file__).parent
    return {path.stem: check(File, read_yaml(path), str(path)) for path in sorted(folder.glob("*.yaml"))}


def tasks(name: str | None = None) -> dict[str, Task]:
    """The tasks of a name: one task, all of a file, or all of a YAML file of one's own (a path), which holds
    tasks or `OwnClasses`; without a name, all
    that need not be asked for.

    Raises:
        UserError: no such task.
    """
    if name is not None and "," in name and not Path(name).exists():
        return {key: task for each in name.split(",") for key, task in tasks(each.strip()).items()}
    if name is not None and Path(name).suffix in (".yaml", ".yml"):
        content = read_yaml(Path(name))
        if "classes" in content:
            return {Path(name).stem: own(Path(name))}
        return dict(check(File, content, name).tasks)
    if name is None:
        return {
            key: task for file in files().values() if not file.on_request for key, task in file.tasks.items()
        }
    if name in files():
        return dict(files()[name].tasks)
    everything = {key: task for file in files().values() for key, task in file.tasks.items()}
    if name not in everything:
        known: Sequence[str] = sorted({*files(), *everything})
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UserError(f"--prompts '{name}' is no task; {remedy}")
    return {name: everything[name]}


def own(file: Path) -> FolderTask:
    """The task of a YAML file of classes of one's own.

    Raises:
        UserError: no such file, or it holds something else.
    """
    content = read_yaml(file)
    if "classes" not in content:
        raise UserError(
            f"{file}: no key 'classes' in it; write 'classes: {{NAME: {{zh: ..., en: ...}}, ...}}', a file of tasks is --prompts"
        )
    return check(OwnClasses, content, str(file)).task(str(file))

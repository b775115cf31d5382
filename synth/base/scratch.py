"""Folders that stand for the length of a command, and of which its user never hears."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from synth.base.errors import UserError


@contextmanager
def scratch(label: object) -> Iterator[Path]:
    """A folder that is removed afterwards; errors that name it name `label`, which the user knows, instead."""
    with TemporaryDirectory() as folder:
        try:
            yield Path(folder)
        except UserError as error:
            raise UserError(str(error).replace(folder, str(label))) from None

"""Public image sets, one file each: the set's own layout -> pictures with labels of our vocabulary."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from synth.base.errors import UserError


class Source(NamedTuple):
    """A public set: what it is, under which licence, what to cite, and the module that reads it."""

    title: str
    licence: str
    citation: str
    module: str


SOURCES = {
    "odir5k": Source("ODIR-5K: both eyes, diagnostic keywords, age, sex (China)", "research use, no redistribution", "https://odir2019.grand-challenge.org", "odir5k"),
}  # fmt: skip


def source_of(name: str) -> Callable[..., Iterator[Any]]:
    """The function `photos(root, report)` of a set.

    Raises:
        UserError: no such set.
    """
    if name not in SOURCES:
        raise UserError(f"unknown source '{name}'; known: {', '.join(SOURCES)}")
    return import_module(f"synth.sources.{SOURCES[name].module}").photos

"""Shards of webdataset: tar files in which the members `KEY.jpg`, `KEY.txt`, `KEY.json` make one pair, see `samples`.

Shards or folders named after a split are that split.  Without `subject_id` every picture is a person of its own.  A key
that two shards have is two pairs; within one shard it is an error.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clip.inputs import kinds, samples
from clip.inputs.listing import Listing, Slices, identified, split_of_path, unreadable, utf8
from synth.base import archives
from synth.base.errors import UserError

_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")

Sample = dict[str, tarfile.TarInfo]
"""Ending -> member, of one key."""


def holds(data: Path) -> bool:
    """Whether this is a tar, or a folder with some in it or in its folders."""
    return (
        kinds.kind(data) == "tar" or data.name.endswith(_SUFFIXES) if data.is_file() else bool(_shards(data))
    )


def read(data: Path) -> Listing:
    """Every pair of every shard; what img2dataset could not fetch is left out and noted.

    Raises:
        UserError: a shard is damaged, cut short or compressed, a key has no picture or comes twice, or a label is outside
            the vocabulary.
    """
    shards = _shards(data)
    keys: list[str] = []
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int, int]] = []
    names: list[str] = []
    failed = 0
    for number, path in enumerate(shards):
        split = split_of_path(data, path)
        for key, member, row in _pairs(path):
            if member is None:
                failed += 1
                continue
            keys.append(utf8(key))
            rows.append(split | row)
            places.append((number, member.offset_data, member.size))
            names.append(utf8(member.name))
    if not rows:
        raise UserError(f"{data}: no pair in its tars")
    found = np.array(places, np.int64)
    where = [f"{shards[place[0]]} {name}" for place, name in zip(places, names, strict=True)]
    files = [str(path.relative_to(data).with_suffix("")) if data.is_dir() else path.stem for path in shards]
    rows = identified(rows, keys, [files[place[0]] for place in places], where)
    notes = (f"{data}: {failed:,} failed downloads of img2dataset are left out",) if failed else ()
    return Listing(rows, Slices(shards, found, names), found[:, 2], where, notes)


def _shards(data: Path) -> list[Path]:
    return kinds.files(data, *_SUFFIXES)


def _pairs(path: Path) -> Iterator[tuple[str, tarfile.TarInfo | None, dict[str, Any]]]:
    """The key, the picture and the columns of every pair of a shard; no picture where it could not be fetched."""
    what = "compressed" if path.name.endswith(_SUFFIXES[1:]) else kinds.kind(path)
    if what not in ("tar", "text"):
        raise kinds.refusal(path, what)
    try:
        with archives.opened_tar(path) as file:
            for key, members in _samples(file, path):
                where, read = f"{path} {key}", _reader(file, members)
                ending = samples.picture_ending(members, read, where)
                row = samples.columns(members, read, where) if ending else {}
                yield key, members[ending] if ending else None, row
    except (tarfile.TarError, ValueError) as error:
        raise UserError(f"{path}: damaged tar ({error}); make or fetch it again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _samples(file: tarfile.TarFile, path: Path) -> Iterator[tuple[str, Sample]]:
    """The members of each key, which stand one after another."""
    key, members = "", {}
    finished: set[str] = set()
    for this, ending, member in _members(file, path):
        if this != key:
            if members:
                yield key, members
            finished.add(key)
            key, members = this, {}
        if this in finished or ending in members:
            raise UserError(
                f"{path}: key '{this}' comes again with {member.name}; give every pair a key of its own, and pack with "
                "'tar --sort=name'"
            )
        members[ending] = member
    if members:
        yield key, members


def _members(file: tarfile.TarFile, path: Path) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """The key and the ending of each member that is part of a pair, and the member."""
    for member in archives.members(file, path):
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        if member.isdir() or kinds.is_hidden(member.name):
            continue
        if stem.startswith("__") or not ending:  # notes of webdataset's
            continue
        if not member.isreg() or member.issparse():
            raise UserError(
                f"{path}: {member.name} is a link or sparse; pack the files themselves, with 'tar -h --hard-dereference'"
            )
        yield f"{folder}/{stem}" if folder else stem, ending.lower(), member


def _reader(file: tarfile.TarFile, members: Sample) -> samples.Read:
    def read(ending: str) -> bytes:
        content = file.extractfile(members[ending])
        assert content is not None  # it is a regular file
        return content.read()

    return read

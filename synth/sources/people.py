"""Who is who in a set: ids that name one picture each, and people who stand in it under several names."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.errors import UserError
from synth.data import formats
from synth.sources.cohort import Duplicate
from synth.sources.copies import copies, describe
from synth.sources.entries import Entry, Images, entries
from synth.sources.pictures import Photo, digest
from synth.sources.report import Report

_MANY = 3  # subjects; a picture that more of them share is a placeholder or a slip, and tells nothing of who they are

Labels = dict[str, Any]


class Picture(NamedTuple):
    """A picture of a known subject."""

    subject: str
    name: str
    content: bytes
    """The digest of its file."""
    read: Callable[[], bytes]
    """What it shows, empty where it cannot be decoded; asked for where two subjects have it."""


class _Shared(NamedTuple):
    """A picture that stands under several subjects."""

    subjects: list[str]
    names: list[str]


def distinct(photos: Iterator[Photo]) -> Iterator[Photo]:
    """The same pictures, as long as no two have one id.

    Raises:
        UserError: two have; the message names both.
    """
    first: dict[str, tuple[Path | None, str]] = {}
    for photograph in photos:
        identity, where = str(photograph.labels["id"]), photograph.where or photograph.name
        if identity in first and (photograph.path is None or photograph.path != first[identity][0]):
            raise UserError(
                f"{where}: id '{identity}' is that of another picture too ({first[identity][1]}); give each an id of its own"
            )
        first[identity] = photograph.path, where
        yield photograph


def same_people(photos: Iterator[Photo], report: Report) -> dict[str, str]:
    """As `joined` says, of pictures that are read for it; those of unknown subjects are not."""
    return joined(_read(photos), report)


def joined(pictures: Iterable[Picture], report: Report) -> dict[str, str]:
    """Subject -> the subject it is taken for, where the same picture stands under two names; all are told in `report`.

    A person under two names could otherwise be on both sides of a split.  Only a file that can be decoded and shows
    something tells that two are one, and only where no more than three share it.
    """
    first: dict[bytes, tuple[str, str]] = {}
    shared: dict[bytes, _Shared | None] = {}
    pairs: list[tuple[bytes, str]] = []
    for subject, name, content, read in pictures:
        owner, owners_name = first.setdefault(content, (subject, name))
        if owner == subject:
            continue
        if content not in shared:
            shared[content] = _Shared([owner], [owners_name]) if _has_content(read()) else None
        found = shared[content]
        if found is not None:
            found.names.append(name)
            if subject not in found.subjects:
                found.subjects.append(subject)
            pairs.append((content, subject))
    several = {content: found for content, found in shared.items() if found is not None}
    joining = {content: found for content, found in several.items() if len(found.subjects) <= _MANY}
    people = _joined(
        [(joining[content].subjects[0], subject) for content, subject in pairs if content in joining]
    )
    _tell(people, list(several.values()), report)
    return people


def of_entries(kept: Path) -> Iterator[Picture]:
    """Every picture of a known subject that an import has read."""
    images = Images(kept)
    for place, entry in enumerate(entries(kept)):
        subject = json.loads(entry.labels).get("subject_id")
        if subject is not None and entry.sha256 is not None:
            yield Picture(subject, entry.name, entry.sha256, lambda place=place: images[place] or b"")


def duplicates(
    kept: Path, subject_of: Callable[[Labels], str], split_of: Callable[[Labels], str]
) -> list[Duplicate]:
    """Pictures of two subjects that are one photograph, compressed or resized again; equal files are not among them.

    Args:
        kept: what an import has read.
        subject_of, split_of: of the labels of a picture, the subject that its record has and where that lies.
    """
    places: list[int] = []
    descriptors: list[bytes] = []
    subjects: list[str] = []
    contents: set[bytes] = set()
    for place, entry in enumerate(entries(kept, "descriptor")):
        if entry.descriptor is not None and entry.sha256 is not None and entry.sha256 not in contents:
            contents.add(entry.sha256)
            places.append(place)
            descriptors.append(entry.descriptor)
            subjects.append(subject_of(json.loads(entry.labels)))
    images = Images(kept)
    pairs = copies(descriptors, subjects, lambda number: images[places[number]] or b"")
    wanted = {places[number] for pair in pairs for number in pair}
    found = {place: each for place, each in enumerate(entries(kept)) if place in wanted}
    return [_duplicate([found[places[number]] for number in pair], subject_of, split_of) for pair in pairs]


def _duplicate(
    pair: list[Entry], subject_of: Callable[[Labels], str], split_of: Callable[[Labels], str]
) -> Duplicate:
    labels = [json.loads(entry.labels) for entry in pair]
    return Duplicate(
        pictures=[entry.name for entry in pair],
        subjects=[subject_of(each) for each in labels],
        splits=[split_of(each) for each in labels],
    )


def _read(photos: Iterator[Photo]) -> Iterator[Picture]:
    for photograph in photos:
        subject = photograph.labels.get("subject_id")
        if subject is not None and (data := _content(photograph)):
            yield Picture(subject, photograph.name, digest(data), lambda data=data: data)


def _content(photograph: Photo) -> bytes:
    try:
        return photograph.read()
    except (OSError, UserError):  # counted as damaged when its record is to be made
        return b""


def _has_content(data: bytes) -> bool:
    """Whether an encoded picture can be decoded and is no blank, error page or viewer's placeholder."""
    try:
        return describe(formats.read(data)).descriptor is not None
    except UserError:
        return False


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Subject -> the first of those that pairs join it with."""
    same: dict[str, str] = {}

    def first(subject: str) -> str:
        while subject in same:
            subject = same[subject]
        return subject

    for owner, subject in pairs:
        one, other = first(owner), first(subject)
        if one != other:
            same[other] = one
    return {subject: first(subject) for subject in same}


def _tell(people: dict[str, str], pictures: list[_Shared], report: Report) -> None:
    groups: dict[str, list[str]] = {}
    for subject, owner in people.items():
        groups.setdefault(owner, [owner]).append(subject)
    names: dict[str, list[str]] = {owner: [] for owner in groups}
    for found in pictures:
        owner = people.get(found.subjects[0], found.subjects[0])
        if len(found.subjects) > _MANY:
            report.keep_apart(found.subjects, found.names)
        else:
            names[owner] += found.names
    for owner, subjects in groups.items():
        report.join(subjects, names[owner])

"""The split that a set tells for its patients: kept, and one person stays on one side."""

from collections.abc import Iterator, Mapping

from synth.base.errors import UserError
from synth.sources.pictures import Photo


def noted(photos: Iterator[Photo], splits: dict[str, str]) -> Iterator[Photo]:
    """The same pictures; the split of each subject that has one goes into `splits`."""
    for photograph in photos:
        subject, split = photograph.labels.get("subject_id"), photograph.labels.get("split")
        if subject is not None and split is not None:
            splits[subject] = split
        yield photograph


def check(splits: Mapping[str, str], people: Mapping[str, str]) -> None:
    """Refuse one person on two sides.

    Args:
        people: subject -> the subject it is taken for, since both have the same picture.

    Raises:
        UserError: two who are one are on two sides.
    """
    for subject, owner in people.items():
        one, other = splits.get(owner), splits.get(subject)
        if one != other:
            raise UserError(
                f"'{owner}' in {one} and '{subject}' in {other} share a picture, so they may be one person; put both on one "
                "side, take the picture out, or leave split out of the mapping"
            )

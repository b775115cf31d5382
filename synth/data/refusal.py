"""Why a picture is not read."""

from synth.base.errors import UserError


class Refused(UserError):
    """A picture that is not read; the message names it, says why, and how to mend it."""

    reason = "damaged picture"
    """The same for all pictures of one kind, so that they can be counted."""


def refused(where: str, reason: str, remedy: str, detail: str = "") -> Refused:
    """The error to raise for a picture; `detail` stands in its message and is not counted by."""
    more = f" ({detail})" if detail else ""
    error = Refused(f"{where}: {reason}{more}; {remedy}")
    error.reason = reason
    return error


def too_large(where: str, width: int, height: int, limit: int) -> Refused:
    """The error to raise for a picture of more than `limit` pixels."""
    size = f"{width}x{height}, {width * height / 1e6:.0f} megapixels"
    error = Refused(f"{where}: {size}; at most {limit / 1e6:.0f} are read, make it smaller")
    error.reason = "too many pixels"
    return error

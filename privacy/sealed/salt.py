"""Ids that tell nothing of whose they are, to whoever lacks the key."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from synth.base.errors import UserError
from synth.base.runs import atomic

KEY = "private-seal.key"
"""The name of the controller's key, which is no part of what an auditor gets."""
_BYTES = 32


def key(path: Path) -> bytes:
    """The key in a file that its owner alone can read, drawn where there is none.

    Raises:
        UserError: the file holds no such key.
    """
    if not path.exists():
        with atomic(path) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "w", encoding="ascii") as file:
                print(secrets.token_hex(_BYTES), file=file)
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:  # UnicodeDecodeError is one
        found = b""
    if len(found) != _BYTES:
        raise UserError(
            f"{path}: no key of 'privacy audit --seal' ({2 * _BYTES} hexadecimal digits); delete it"
        )
    return found


def salted(key: bytes, patient: str) -> str:
    """The id under which a patient stands in a sealed audit: HMAC-SHA256 in 64 hexadecimal digits."""
    return hmac.new(key, patient.encode(), hashlib.sha256).hexdigest()


def fingerprint(key: bytes) -> str:
    """By which two files are known to be of one key, and nothing else of it."""
    return hashlib.sha256(key).hexdigest()

"""Bytes of a text file -> its lines: by the byte-order mark, else UTF-8, else GB18030 where it reads as Chinese.

Chinese Excel writes "CSV" in GB18030 (GBK).  Nearly any bytes can be read as that, so only text whose characters are mostly
those of GB 2312, as in everyday Chinese, is taken for it; `Müller` in Latin-1 would become a wrong name otherwise.
"""

import codecs
import io
import re
from pathlib import Path
from typing import NamedTuple

from synth.base.disk_errors import check_file
from synth.base.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CHINESE = 0.8  # share of the characters beyond ASCII that GB 2312 has
_REMEDY = "save it as CSV in UTF-8, or as .xlsx; 'synth import folder' takes a key 'encoding' too"


class Text(NamedTuple):
    """The lines of a file, and the encoding that they were read in."""

    lines: list[str]
    """With their ends; only \\n, \\r and \\r\\n end a line."""
    encoding: str


def read(path: Path, encoding: str | None = None) -> Text:
    """The lines of a file; a byte-order mark goes over `encoding`, which goes over what the bytes look like.

    Raises:
        UserError: no such file, or not text in this encoding.
    """
    check_file(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is --root the folder of this set?") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is it a CSV file?") from None
    text, used = _decoded(path, data, encoding)
    text = text.lstrip("\ufeff").rstrip("\x1a")  # a mark more, and how DOS ends a file
    lines = list(io.StringIO(text, newline=""))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise UserError(f"{path} line {number}: holds a zero byte, so it is not text; export it again")
    return Text(lines, used)


def exists(encoding: str) -> bool:
    """Whether Python reads text in an encoding of this name."""
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True


def _decoded(path: Path, data: bytes, encoding: str | None) -> tuple[str, str]:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _strict(path, data[len(mark) :], name), name
    if encoding is not None:
        return _strict(path, data, encoding), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        _refuse_mixed(path, data, error.start)
        return _chinese(path, data), "gb18030"


def _strict(path: Path, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, errors="replace").count("\n") + 1
        raise UserError(f"{path} line {line}: not {encoding} text; {_REMEDY}") from None


def _refuse_mixed(path: Path, data: bytes, start: int) -> None:
    """Refuse a file in UTF-8 of which a line or two are not."""
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    if sum(map(_is_utf8, lines)) > len(lines) / 2:
        line = data.count(b"\n", 0, start) + 1
        raise UserError(f"{path} line {line}: not UTF-8, as the rest of the file is; mend that line")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _chinese(path: Path, data: bytes) -> str:
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    beyond = "".join(re.findall(r"[^\x00-\x7f]+", text))
    if not beyond or len(beyond.encode("gb2312", errors="ignore")) < 2 * _CHINESE * len(beyond):
        raise UserError(f"{path}: not UTF-8 text, nor Chinese in GB18030; {_REMEDY}")
    return text

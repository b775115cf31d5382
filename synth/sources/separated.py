"""Separated text as spreadsheets export it: rows of cells, each row with the line it begins on; what does not fit is refused.

A row that holds another number of cells than the header has lost or gained a separator somewhere, and every value after it
stands in the wrong column.  That goes for a row that is too short as well: nobody can tell a spreadsheet that left out its last,
empty cells from a cell that is missing in the middle.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile, islice
from pathlib import Path
from typing import NamedTuple

from synth.base.errors import UserError
from synth.sources import encodings
from synth.sources.encodings import Text

_SEPARATORS = ",;\t|"
_LONGEST = 2**31 - 1  # characters of a cell; the csv module's own limit of 131,072 is less than some reports
SEARCHED = 60  # rows in which a header is looked for
_SHOWN = 120  # characters of a row that an error repeats
_BLANK = (
    "".join(filter(str.isspace, map(chr, range(0x3001))))
    + "\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\ufeff"
)
"""What nobody sees at the ends of a cell; Windows copies a path with U+202A before it."""


class Record(NamedTuple):
    """A row of cells."""

    number: int
    """Of the line on which it begins, from 1."""
    cells: list[str]


def shown(cell: str) -> str:
    """A cell as a spreadsheet shows it: without blanks around it, and `="007"`, which keeps its zeros, as 007."""
    cell = cell.strip(_BLANK)
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell


def records(
    text: Text, path: Path, needed: Sequence[str] = (), header: int | None = None
) -> Iterator[Record]:
    """The header of a CSV file and its rows, as many cells each; blank rows are left out.

    Args:
        needed: columns by which the separator is told where several would do.
        header: the line of the column names, from 1; what stands above it is left out.

    Raises:
        UserError: a row does not fit the header, a needed column is missing, or a quote is not closed where its cell ends.
    """
    lines, separator = _begun(path, text.lines, header)
    separator = separator or _separator(lines, needed)
    names: list[str] | None = None
    for record, last in _parsed(path, lines, separator):
        if names is None:
            names = record.cells
            _check_header(path, lines, _names(_first(lines), separator), needed)
        elif len(record.cells) != len(names) or last > record.number:
            _check(path, record, lines[record.number - 1 : last], names, separator)
        yield record


def header(path: Path) -> list[str]:
    """The names in the first row of a file, whatever it is; none where it cannot be read."""
    try:
        lines, separator = _begun(path, encodings.read(path).lines, None)
    except UserError:
        return []
    first = list(_first(lines))
    return _names(first, separator or _separator(first))


def missing(path: Path, column: str, names: Iterable[str], remedy: str = "") -> UserError:
    """The error of a table that lacks a column."""
    has = ", ".join(filter(None, names)) or "none"
    return UserError(f"{path}: column '{column}' is missing; it has {has}{remedy}")


def header_below(rows: Iterable[Record], needed: Sequence[str]) -> str:
    """What to do where the column names stand in a later row."""
    for record in islice(rows, SEARCHED):
        if needed and set(needed) <= {shown(cell) for cell in record.cells}:
            return (
                f"; line {record.number} looks like the header: write 'header: {record.number}' in the mapping, or take "
                "out what stands above it"
            )
    return ""


def _begun(path: Path, lines: list[str], header: int | None) -> tuple[list[str], str | None]:
    """The lines with blank ones for what stands above the header, and the separator where a line `sep=;` tells it."""
    start = next((number for number, line in enumerate(lines) if line.strip()), 0)
    told = re.fullmatch(r'"?sep=(.)"?[,;\t]*\s*', lines[start]) if lines else None
    above = start + 1 if told else 0
    if header is not None:
        if not above < header <= len(lines) or not lines[header - 1].strip():
            raise UserError(
                f"{path}: header={header} is no line with column names; the file has {len(lines)} lines"
            )
        above = header - 1
    return ["\n"] * above + lines[above:], told[1] if told else None


def _check_header(path: Path, lines: list[str], names: list[str], needed: Sequence[str]) -> None:
    """Refuse a header that lacks a needed column, and say which later line may be the header."""
    column = next((column for column in needed if column not in names), None)
    if column is None:
        return
    rows = (
        Record(number, _names([line], separator))
        for number, line in enumerate(lines[:SEARCHED], start=1)
        for separator in _SEPARATORS
    )
    raise missing(path, column, names, header_below(rows, needed))


def _first(lines: Iterable[str]) -> Iterator[str]:
    """The lines of the first row that is not blank."""
    quotes = 0
    for line in dropwhile(lambda text: not text.strip(), lines):
        yield line
        quotes += line.count('"')
        if quotes % 2 == 0:
            return


def _separator(lines: Iterable[str], needed: Sequence[str] = ()) -> str:
    """What gives the first row most of the needed columns, and then most columns."""
    first = list(_first(lines))

    def columns(separator: str) -> tuple[int, int]:
        names = _names(first, separator)
        return sum(column in names for column in needed), len(names)

    return max(_SEPARATORS, key=columns)


def _names(lines: Iterable[str], separator: str) -> list[str]:
    """The cells of the first row; none where its quotes do not go with this separator."""
    csv.field_size_limit(_LONGEST)
    try:
        return [shown(name) for name in next(csv.reader(lines, delimiter=separator, strict=True), [])]
    except csv.Error:
        return []


def _parsed(path: Path, lines: list[str], separator: str) -> Iterator[tuple[Record, int]]:
    """Every row that is not blank, with the number of its last line."""
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        before = reader.line_num
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _quote_error(path, before, lines[before : reader.line_num], separator, error) from None
        if cells is None:
            return
        if "".join(cells).strip():
            yield Record(before + 1, cells), reader.line_num


def _quote_error(path: Path, before: int, lines: list[str], separator: str, error: csv.Error) -> UserError:
    text = "".join(lines)
    whole = (
        rf'(?:(?:"(?:[^"]|"")*+"|[^"{separator}\r\n][^{separator}\r\n]*+|){separator})*+'  # cells that do end
    )
    opened = re.match(whole, text)
    assert opened is not None  # it may be empty
    begin = before + 1 + len(re.findall("\r\n|\r|\n", opened[0]))
    if "end of data" in str(error):
        return UserError(
            f'{path} line {begin}: a quote (") opens a cell there that nothing closes; take it out, or close it where the '
            "cell ends"
        )
    return UserError(
        f'{path} line {begin}: a quote (") opens a cell there and closes on line {before + len(lines)} before the cell ends; '
        'take it out, or double the quotes within the cell ("")'
    )


def _check(path: Path, record: Record, lines: list[str], names: list[str], separator: str) -> None:
    """Refuse a row that does not fit the header, or whose quotes take in the rows below it."""
    sign = {"\t": "tab"}.get(separator, separator)
    if len(record.cells) != len(names):
        held = " | ".join(" ".join(cell.split()) for cell in record.cells)
        more = len(record.cells) > len(names)
        remedy = (
            f'put the cell that holds "{sign}" in quotes'
            if more
            else "write its empty cells too, the last ones as well"
        )
        raise UserError(
            f"{path} line {record.number}: {len(record.cells)} cells below a header of {len(names)} ({held[:_SHOWN]}); {remedy}"
        )
    if len(lines) > 1 and (
        _lone_quotes(record.cells, separator) or _rows_within(lines, len(names), separator)
    ):
        raise UserError(
            f"{path} line {record.number}: a cell in quotes runs on to line {record.number + len(lines) - 1} and takes in what "
            'looks like further rows; take out the single quote (") that opens it, or write the cell on one line'
        )


def _lone_quotes(cells: list[str], separator: str) -> bool:
    """Whether a cell lies between two cells that are a quote each, such as ditto marks: ',2\\np3.jpg,'."""
    texts = [cell.strip(" ") for cell in cells if separator in cell and re.search("[\r\n]", cell)]
    ends = {separator, "\r", "\n"}
    return any({text[0], text[-1]} <= ends and separator in (text[0], text[-1]) for text in texts)


def _rows_within(lines: list[str], width: int, separator: str) -> bool:
    """Whether each line, without regard to quotes, is a whole row that begins as the first one does."""
    rows = [line.split(separator) for line in lines if line.strip()]
    return all(len(row) == width for row in rows) and len({_shape(row[0]) for row in rows}) == 1


def _shape(text: str) -> str:
    """What kind of name this is: `a0_a.a` for `p12_left.jpg`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", text.strip(' "\r\n')))

"""Ages as hospitals write them -> years: `61`, `61,5`, `045Y`, `018M`, `12岁`, `90+`, and the time between two dates."""

import calendar
import re
import unicodedata
from itertools import pairwise
from typing import Literal, NamedTuple

OLDEST = 120.0
"""Years; more is a slip or a code."""

_FIRST_YEAR = 1850  # of a date; 0012 is none

Order = Literal["ymd", "dmy", "mdy"]

_UNITS = {
    1.0: ("y", "yr", "yrs", "year", "years", "yo", "y/o", "years old", "year old", "岁", "歲", "周岁", ""),
    1 / 12: ("m", "mo", "mon", "month", "months", "月", "个月", "月龄"),
    7 / 365.25: ("w", "wk", "week", "weeks", "周"),
    1 / 365.25: ("d", "day", "days", "天", "日", "日龄"),
}
_YEARS = {unit: years for years, units in _UNITS.items() for unit in units}
_PART = re.compile(r"(\d+(?:\.\d+|,\d{1,2})?)\s*([^\d.,+\s>≥][^\d.,+]*|)\s*")
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_NAMED_MONTH = re.compile(rf"(\d{{1,2}})[-/ .]({'|'.join(_MONTHS)})[a-z]*[-/ .,]+(\d{{4}})", re.IGNORECASE)
_PLACES = {"ymd": (0, 1, 2), "dmy": (2, 1, 0), "mdy": (2, 0, 1)}


class Date(NamedTuple):
    """A day, or a year alone, whose month and day are 0."""

    year: int
    month: int = 0
    day: int = 0


def parse(text: str) -> float:
    """An age in years, in [0, 120]; an open one (`90+`, `>89`) is the youngest that it can be.

    Raises:
        ValueError: it is no such age.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    found = re.fullmatch(r"(>=|≥|>|)\s*(.*?)\s*(\+|及?以上|)", plain)
    assert found is not None  # each part may be empty
    sign, body, more = found.groups()
    parts = [(float(number.replace(",", ".")), unit.strip()) for number, unit in _PART.findall(body)]
    whole = re.fullmatch(f"(?:{_PART.pattern})+", body) is not None
    steps = [_YEARS.get(unit) for _, unit in parts]
    falling = all(a and b and a > b for a, b in pairwise(steps))
    unclear = len(parts) == 1 and re.fullmatch(r"(?!\d{3}[mwd]).*\d[mwd]", body)  # 61M may be a man of 61
    if (
        not whole
        or unclear
        or None in steps
        or not falling
        or (sign and more)
        or (len(parts) > 1 and not parts[0][1])
    ):
        raise ValueError("is no age in years, such as 61, 061Y, 018M or 90+")
    years = sum(number * (step or 0) for (number, _), step in zip(parts, steps, strict=True))
    return in_range(years + 1 if sign == ">" else years)


def in_range(years: float) -> float:
    """The same age.

    Raises:
        ValueError: nobody has it.
    """
    if not 0 <= years <= OLDEST:
        raise ValueError(f"is no age between 0 and {OLDEST:.0f} years")
    return years


def is_placeholder(text: str) -> bool:
    """Whether a date is the one that programs write where they know none: the first days that Excel counts."""
    try:
        return date(text) in (Date(1900, 1, 1), Date(1899, 12, 31), Date(1899, 12, 30))
    except ValueError:
        return False


def between(born: str, at: str, order: Order = "ymd") -> float:
    """Completed years between two dates; from a year alone, the difference of the years.

    Raises:
        ValueError: one is no date in this order, or the age is none.
    """
    birth, visit = date(born, order), date(at, order)
    is_exact = birth.month and visit.month
    had_birthday = not is_exact or visit[1:] >= birth[1:]
    return in_range(float(visit.year - birth.year - (not had_birthday)))


def date(text: str, order: Order = "ymd") -> Date:
    """A date; a time of day behind it is left out.

    Raises:
        ValueError: no date in this order; one that begins with a year of four digits is read in any.
    """
    plain = re.sub(r"[T ](?:上午|下午)? ?\d{1,2}:\d\d.*", "", unicodedata.normalize("NFKC", text).strip())
    plain = re.sub(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", plain)
    plain = _NAMED_MONTH.sub(lambda found: f"{found[3]}-{_MONTHS[found[2].lower()]}-{found[1]}", plain)
    parts = [part for part in re.split(r"\s*[-./年月日]\s*", plain) if part]
    if (
        [len(part) for part in parts] == [4]
        and plain.rstrip("年").isdecimal()
        and int(parts[0]) >= _FIRST_YEAR
    ):
        return Date(int(parts[0]))
    year_first = bool(parts) and len(parts[0]) == 4
    if len(parts) == 3 and all(map(str.isdecimal, parts)) and (year_first or order != "ymd"):
        year, month, day = (int(parts[place]) for place in _PLACES["ymd" if year_first else order])
        if year >= _FIRST_YEAR and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]:
            return Date(year, month, day)
    raise ValueError(
        f"is no date in the order {order}, such as {_EXAMPLES[order]}; a key 'order' says another"
    )


_EXAMPLES = {"ymd": "2024-05-31", "dmy": "31.05.2024", "mdy": "05/31/2024"}

"""Which column of an unknown table may be what: by its name in both languages, and by what its cells say."""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from synth.data.vocabulary import DR
from synth.sources import ages
from synth.sources.cells import OutsideVocabulary, canonical, convert
from synth.sources.paths import without_suffix
from synth.sources.tables import Line
from synth.sources.terms import fold, is_unknown, meaning_of

_FEW = 12  # different cells that a person can map by hand
_CELLS = 500  # different cells of a column that are looked at
_IMAGE = 0.5  # share of the cells that name a picture
_READ = 0.5  # share of the cells that are understood

NAMES = {
    "age": r"^age\b|\bage$|年龄|^alter$|^edad$|age years",
    "sex": r"\bsex\b|gender|性别|geschlecht|^sexo$",
    "eye_side": r"^eye|laterality|^side$|\beye$|眼别|眼侧|左右眼|auge",
    "dr_grade": r"^dr\b|icdr|retinopathy|^level$|dr grade|糖网|分级|dr分级",
    "split": r"^split$|^partition$|^subset$|^set$|划分",
    "camera": r"camera|device|设备|相机|机型|仪器",
    "visit": r"^visit|visit number|就诊次|访视|随访次",
    "modality": r"modality|检查类型|成像方式",
    "race": r"^race$|ethnic|民族|种族",
    "subject_id": r"patient|subject|person|\bpid\b|\bmrn\b|患者|病人|病历号|住院号|门诊号|登记号|就诊号|病案号|受试者",
}
"""Column of the records -> the names that it has in tables, folded."""
IMAGE = r"image|file|photo|picture|path|图|文件|照片"
_NUMBER = r"^id$|^编号$"
_PRIVATE = r"name\b|姓名|电话|phone|地址|address|身份证|备注"
DIAGNOSES = r"diagnos|^dx|\bdx$|诊断|印象|impression|keywords"
BORN = r"birth|^dob$|出生"
AT = r"(exam|visit|study|acquisition|photo)\w* ?date|date of (exam|visit|photo)|检查日期|就诊日期|拍摄日期|检查时间|拍摄时间"
_SIDES = {"right": r"\b(?:od|right|re)\b|右眼?", "left": r"\b(?:os|oi|left|le)\b|左眼?"}
PATTERNS = (
    r"(?:^|/)(?P<subject_id>[^/_\-]+)[_\-](?P<eye_side>(?i:left|right|OD|OS|OI|L|R|左眼?|右眼?))[_\-](?P<visit>\d+)(?:\.\w+)?$",
    r"(?:^|/)(?P<subject_id>[^/_\-]+)[_\-](?P<eye_side>(?i:left|right|OD|OS|OI|L|R|左眼?|右眼?))(?:[_\-.][^/]*)?$",
)
"""What names of pictures look like that tell the patient and the eye."""


class Guess(NamedTuple):
    """A column that may be what, and why."""

    column: str
    why: str


def image_columns(lines: Sequence[Line], pictures: Sequence[str]) -> list[Guess]:
    """The columns whose cells name pictures, the one that names most first."""
    stems = {stem(name) for name in pictures}
    found = []
    for column in columns(lines):
        cells = list(islice(distinct(lines, column), _CELLS))
        hits = [cell for cell in cells if stem(cell) in stems]
        if cells and len(hits) >= _IMAGE * len(cells):
            whole = sum(
                without_suffix(cell) != cell for cell in hits
            )  # a number may name a picture by chance
            rank = (whole, is_called(fold(column), IMAGE), len(hits))
            found.append((rank, Guess(column, f"{len(hits)} of {len(cells)} different cells name a picture")))
    return [guess for _, guess in sorted(found, key=lambda each: each[0], reverse=True)]


def labelled(lines: Sequence[Line], taken: set[str], keys: Container[str]) -> dict[str, Guess]:
    """Column of the records, one of `keys` -> the column of the table that its name and its cells speak for."""
    found: dict[str, Guess] = {}
    for column in columns(lines):
        cells = list(islice(distinct(lines, column), _CELLS))
        repeats = len({line[column] for line in lines}) < len(lines)
        key = _key(fold(column), cells, repeats) if column not in taken else None
        if key is None or key in found or key not in keys or not cells:
            continue
        good = sum(_is_read(key, cell) for cell in cells)
        is_whole = key != "split" or (
            good == len(cells) and not any(is_unknown(line[column]) for line in lines)
        )
        if is_whole and (good >= _READ * len(cells) or (len(cells) <= _FEW and key != "age")):
            found[key] = Guess(column, f"by its name; {good} of {len(cells)} different cells are understood")
    return found


def diagnoses(lines: Sequence[Line]) -> str | None:
    """The column with diagnoses in words."""
    found = [column for column in columns(lines) if is_called(fold(column), DIAGNOSES)]
    return next((each for each in found if any(not _is_grade(cell) for cell in distinct(lines, each))), None)


def named(
    lines: Sequence[Line], pattern: str, accept: Callable[[str], bool] = lambda cell: True
) -> str | None:
    """The first column that is called so, and whose cells are acceptable."""
    for column in columns(lines):
        cells = list(islice(distinct(lines, column), _CELLS))
        if re.search(pattern, fold(column)) and cells and all(map(accept, cells)):
            return column
    return None


def side_of(column: str) -> tuple[str | None, str]:
    """The eye in a column's name, and the name without it."""
    for side, pattern in _SIDES.items():
        if re.search(pattern, fold(column)):
            return side, " ".join(re.sub(pattern, " ", fold(column)).split())
    return None, fold(column)


def pattern_of(names: Sequence[str]) -> str | None:
    """What every one of these names of pictures fits, if it tells the patient and the eye."""
    for pattern in PATTERNS if names else ():
        if all(re.search(pattern, without_suffix(name)) for name in names):
            return pattern
    return None


def is_date(cell: str) -> bool:
    """Whether a cell is a date that begins with a year."""
    try:
        return bool(ages.date(cell))
    except ValueError:
        return False


def columns(lines: Sequence[Line]) -> list[str]:
    """The columns of a table that have a name of their own."""
    return [name for name in lines[0] if name and name not in lines[0].repeated]


def distinct(lines: Sequence[Line], column: str) -> Iterator[str]:
    """The different cells of a column that say something."""
    return (cell for cell in dict.fromkeys(line[column] for line in lines) if not is_unknown(cell))


def is_called(name: str, pattern: str) -> bool:
    """Whether a folded name of a column fits."""
    return re.search(pattern, name) is not None


def key_of_name(name: str) -> str | None:
    """The column of the records that a folded name of a column speaks of."""
    meaning = meaning_of(name)
    if meaning and len(meaning.labels) == 1:
        return next(iter(meaning.labels))
    return next((key for key, pattern in NAMES.items() if re.search(pattern, name)), None)


def _key(name: str, cells: Sequence[str], repeats: bool) -> str | None:
    if is_called(name, DIAGNOSES):
        return DR.key if len(cells) > 2 and all(map(_is_grade, cells)) else None
    key = key_of_name(name)
    if key is None and is_called(name, _NUMBER) and repeats:
        key = "subject_id"
    tells_who = key == "subject_id" and (is_called(name, _PRIVATE) or all(map(is_date, cells)))
    is_day = key == "visit" and any(map(is_date, cells))
    return None if tells_who or is_day else key


def _is_grade(cell: str) -> bool:
    return canonical(cell) in ("0", "1", "2", "3", "4")


def _is_read(key: str, cell: str) -> bool:
    try:
        convert(key, cell)
    except OutsideVocabulary:
        return False
    return True


def stem(name: str) -> str:
    """The name of a picture without folders and suffix, in lower case."""
    return without_suffix(name.replace("\\", "/").rpartition("/")[2]).casefold()

"""Make the folder of a clinic to try an import on: phantoms, and the same table as Excel and as the CSV of Chinese Excel.

    python examples/folder/clinic.py clinic

writes `clinic/excel/` and `clinic/gbk/`, each with a table below a title line and `眼底照/`.  Nobody in it exists.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl

from synth import phantom
from synth.data.vocabulary import DISEASES, FINDINGS

TITLE = "眼科门诊照相导出 2024-05"
HEADER = ["文件名", "病历号", "姓名", "年龄", "性别", "眼别", "临床诊断", "设备"]
FIRST = {"1": "糖网1级", "2": "糖网2级"}
"""Words of the clinic's own for grades of retinopathy."""


def lines(pictures: Path, n: int) -> Iterator[list[str]]:
    """Draw `n` pictures into a folder; a line of the table for each."""
    pictures.mkdir(parents=True, exist_ok=True)
    for index in range(n):
        row, _ = phantom.record(phantom.PhantomConfig(size=96, seed=1), index)
        number = f"{int(row['subject_id'].rpartition('-')[2]):06d}"
        name = f"{number}_{index:02d}.jpg"
        (pictures / name).write_bytes(row["image"]["bytes"])
        sex = {"F": "1", "M": "2", None: ""}[row["sex"]]
        age = "" if row["age"] is None else f"{row['age']:.0f}岁"
        eye = "右" if row["eye_side"] == "right" else "左"
        yield [name, number, "—", age, sex, eye, diagnosis(row, index), "TRC-NW8"]


def diagnosis(row: dict[str, Any], index: int) -> str:
    """What a doctor might have written."""
    entries = [term.zh for term in DISEASES if row[term.key]]
    entries += [term.zh for term in FINDINGS if term.key in (row["findings"] or ())]
    if row["dr_grade"]:
        entries.insert(
            0,
            FIRST.get(
                str(row["dr_grade"]), "增殖性糖尿病视网膜病变" if row["dr_grade"] == 4 else "糖尿病视网膜病变"
            ),
        )
    if not entries:
        return ("未见明显异常", "可疑青光眼，待查", "")[index % 3]
    return "；".join(entries) if index % 2 else "、".join(entries)


def make(root: Path, n: int = 24) -> None:
    """Write both folders."""
    table = list(lines(root / "excel" / "眼底照", n))
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in ([TITLE], HEADER, *table):
        sheet.append(row)
    book.save(root / "excel" / "门诊导出.xlsx")
    list(lines(root / "gbk" / "眼底照", n))
    with open(root / "gbk" / "门诊导出.csv", "w", encoding="gbk", newline="") as file:
        csv.writer(file).writerows([[TITLE], HEADER, *table])


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "clinic"))

"""Make the folder of a clinic to try an import on: phantoms, and the same table as Excel, as the CSV of Chinese Excel, and beside DICOM.

    python examples/folder/clinic.py clinic

writes `clinic/excel/`, `clinic/gbk/` and, where pydicom is installed, `clinic/dicom/`, each with a table below a title line and
`眼底照/`.  Nobody in it exists.
"""

import csv
import io
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openpyxl
from PIL import Image

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
        number = f"{int(row['subject_id'].rpartition('-')[2]) + 1:06d}"  # 000000 is nobody's
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


def write_dicom(picture: Path, line: list[str]) -> None:
    """The JPEG of a line as a camera sends it: wrapped in DICOM, with patient, eye, age and sex in the header."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, OphthalmicPhotography8BitImageStorage, generate_uid

    data = picture.read_bytes()
    meta, content = FileMetaDataset(), Dataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    content.SOPClassUID, content.Modality = OphthalmicPhotography8BitImageStorage, "OP"
    content.SOPInstanceUID = generate_uid(entropy_srcs=[picture.name])
    _, content.PatientID, _, age, sex, eye, *_ = line
    content.PatientAge = f"{age.removesuffix('岁'):0>3}Y" if age else ""
    content.PatientSex = {"1": "F", "2": "M", "": ""}[sex]
    content.ImageLaterality = "R" if eye == "右" else "L"
    content.Columns, content.Rows = Image.open(io.BytesIO(data)).size
    content.SamplesPerPixel, content.PlanarConfiguration, content.PhotometricInterpretation = (
        3,
        0,
        "YBR_FULL_422",
    )
    content.BitsAllocated = content.BitsStored = 8
    content.HighBit, content.PixelRepresentation = 7, 0
    content.PixelData = encapsulate([data])
    content["PixelData"].is_undefined_length = True
    content.file_meta = meta
    content.save_as(picture.with_suffix(".dcm"), enforce_file_format=True)
    picture.unlink()


def write_excel(path: Path, table: list[list[str]]) -> None:
    book = openpyxl.Workbook()
    for row in ([TITLE], HEADER, *table):
        book.worksheets[0].append(row)
    book.save(path)


def make(root: Path, n: int = 24) -> None:
    """Write the folders."""
    table = list(lines(root / "excel" / "眼底照", n))
    write_excel(root / "excel" / "门诊导出.xlsx", table)
    list(lines(root / "gbk" / "眼底照", n))
    with open(root / "gbk" / "门诊导出.csv", "w", encoding="gbk", newline="") as file:
        csv.writer(file).writerows([[TITLE], HEADER, *table])
    if find_spec("pydicom"):
        for line in lines(root / "dicom" / "眼底照", n):
            write_dicom(root / "dicom" / "眼底照" / line[0], line)
        write_excel(
            root / "dicom" / "门诊导出.xlsx", [[line[0].replace(".jpg", ".dcm"), *line[1:]] for line in table]
        )


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "clinic"))

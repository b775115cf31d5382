"""DICOM photographs: pixels of every transfer syntax, a few facts of the header, and nothing else of it anywhere."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dicoms import (
    BY_GDCM,
    COLOUR,
    GREY,
    GREY_12,
    GREYS,
    PIXELS,
    PRIVATE,
    content,
    converted,
    dataset,
    encoded,
)
from pydicom import uid
from typer.testing import CliRunner

from clip import embed
from clip.apps import image_io, search
from clip.commands.app import app as clip_app
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.commands.app import app
from synth.data import dicom
from synth.data.images import Preprocessing, decode
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.sources.importing import import_source

MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)


def difference(data: bytes, grey: bool = False) -> int:
    """How far a file's pixels are from those that were drawn."""
    wanted = np.repeat(GREY[..., None], 3, 2) if grey else PIXELS
    return int(np.abs(decode(data).astype(int) - wanted).max())


@pytest.mark.parametrize("way", COLOUR)
def test_colour_is_read_from_every_transfer_syntax_and_photometric_interpretation(way):
    lossless = way in ("explicit", "implicit", "big endian", "deflated", "planes", "rle") or "2000" in way
    assert difference(content(COLOUR[way]())) <= (1 if lossless else 6)


@pytest.mark.parametrize("way", GREYS)
def test_grey_of_8_12_and_16_bits_is_read(way):
    assert difference(content(GREYS[way]()), grey=True) <= (4 if way == "8 bits in jpeg" else 0)


@pytest.mark.parametrize("syntax", BY_GDCM)
def test_what_gdcm_decodes_is_read(syntax, tmp_path):
    assert difference(converted(dataset(), syntax, tmp_path)) == 0
    assert difference(converted(dataset(GREY_12, BitsStored=12), syntax, tmp_path), grey=True) == 0


@pytest.mark.parametrize(
    "made, reason",
    [
        (dataset(PixelData=PIXELS.tobytes() * 3, NumberOfFrames=3), "several pictures in one file (3 frames of DICOM)"),
        (dataset(PixelData=PIXELS.tobytes()[:5000]), "damaged picture"),
        (dataset(Rows=None, PixelData=None), "DICOM without a picture"),
        (dataset(GREY_12, PixelRepresentation=1), "values of 32 bits or with a sign, of unknown range"),
        (dataset(GREY.astype(np.uint32)), "values of 32 bits or with a sign, of unknown range"),
        (dataset(Rows=20_000, Columns=20_000), "20000x20000, 400 megapixels; at most 89 are read"),
        (encoded(b"\xff\xd8\xff\xc3 rubbish", uid.JPEGLosslessSV1), "damaged picture"),
        (encoded(b"rubbish", uid.MPEG2MPML), "DICOM that no decoder here reads (MPEG2 Main Profile / Main Level)"),
        (encoded(b"\xff\xd8", uid.JPEGExtended12Bit, GREY_12, BitsStored=12), "DICOM that no decoder here reads"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_in_one_line_by_what_it_is(made, reason):
    with pytest.raises(UserError) as error:
        decode(content(made), "op.dcm")
    assert str(error.value).startswith(f"op.dcm: {reason}") and "\n" not in str(error.value)


def test_a_file_that_inflates_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(dicom, "_MOST_INFLATED", 10_000)
    with pytest.raises(UserError, match="inflates to more than"):
        decode(content(COLOUR["deflated"]()))


def test_half_a_file_is_damaged_wherever_it_is_cut():
    data = content(COLOUR["jpeg"]())
    for end in range(132, len(data), len(data) // 20):
        with pytest.raises(UserError, match=r"^op: "):
            decode(data[:end], "op")


def test_without_pydicom_one_line_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    (tmp_path / "op.dcm").write_bytes(content(dataset()))
    result = CliRunner().invoke(
        app, ["import", "dicom", "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert (
        result.stderr
        == f"synth: {tmp_path}/op.dcm: DICOM is read by pydicom; pip install 'visionclip[dicom]'\n"
    )


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, (45.0, "F", "right")),
        ({"PatientAge": "018M", "PatientSex": "M", "ImageLaterality": "L"}, (1.5, "M", "left")),
        ({"PatientAge": "012D", "PatientSex": "O", "ImageLaterality": "B"}, (12 / 365.25, None, None)),
        ({"PatientAge": None}, (46.0, "F", "right")),
        ({"PatientAge": "", "PatientBirthDate": ""}, (None, "F", "right")),
        ({"PatientAge": "999Y", "PatientSex": ""}, (None, None, "right")),
        ({"ImageLaterality": None, "Laterality": "L"}, (45.0, "F", "left")),
        ({"ImageLaterality": "R", "Laterality": "L"}, (45.0, "F", None)),
        ({"PatientAge": "000Y"}, (46.0, "F", "right")),
        ({"PatientAge": "", "PatientBirthDate": "19000101", "StudyDate": "20180501"}, (None, "F", "right")),
    ],
)
def test_age_sex_and_eye_are_read_and_what_is_unclear_is_unknown(more, expected, tmp_path):
    (tmp_path / "op.dcm").write_bytes(content(dataset(**more)))
    found = dicom.header(tmp_path / "op.dcm")
    assert (found.age, found.sex, found.eye_side) == (pytest.approx(expected[0]), *expected[1:])


def test_people_are_told_by_number_and_without_one_by_study(tmp_path):
    """What takes names away may leave numbers empty, or give everybody the same."""
    root, study = tmp_path / "set", uid.generate_uid()
    root.mkdir()
    headers = [
        {"PatientID": "7", "PatientSex": "F"},
        {"PatientID": "7", "PatientSex": "M"},
        {"PatientID": "", "StudyInstanceUID": study},
        {"PatientID": "", "StudyInstanceUID": study},
        {"PatientID": "", "StudyInstanceUID": ""},
        {"PatientID": "8", "IssuerOfPatientID": "north"},
        {"PatientID": "8", "IssuerOfPatientID": "south"},
    ]
    for number, more in enumerate(headers):
        (root / f"{number}.dcm").write_bytes(content(dataset(np.roll(PIXELS, number, 0), **more)))
    result = import_source("dicom", root, tmp_path / "records")
    people = Counter(read_table(tmp_path / "records", columns=["subject_id"])["subject_id"].to_pylist())
    assert sorted(people.values()) == [1, 1, 1, 2, 2]
    assert (
        result["notes"]["patient's number with both sexes in DICOM headers: are these several people?"] == 1
    )


@pytest.mark.parametrize("number", ["0000", "ANONYMOUS", "anon", "unknown"])
def test_a_number_that_stands_for_nobody_joins_nobody(number, tmp_path):
    """What takes names away writes one number into every header."""
    made = [dataset(PatientID=number, StudyInstanceUID=uid.generate_uid()) for _ in range(2)]
    people = set()
    for each in made:
        (tmp_path / "op.dcm").write_bytes(content(each))
        people.add(dicom.header(tmp_path / "op.dcm").subject_id)
    assert len(people) == 2


def test_a_picture_of_the_chest_is_no_photograph_of_an_eye(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for number, kind in enumerate(("OP", "CR", "US", "OT")):
        made = dataset(np.roll(PIXELS, number, 0), Modality=kind)
        (root / f"{kind}.dcm").write_bytes(content(made))
    report = import_source("dicom", root, tmp_path / "records")
    assert report["kept"] == 2
    assert report["reasons"]["DICOM that is no photograph of an eye"]["files"] == ["CR.dcm", "US.dcm"]


def archive(root: Path) -> Path:
    """Two patients, the first at two visits; names of files say nothing, and some files are no photographs."""
    made = {
        "DICOM/S1/IM0001": dataset(np.roll(PIXELS, 1, 0)),
        "DICOM/S1/IM0002": dataset(np.roll(PIXELS, 2, 0), ImageLaterality="L"),
        "DICOM/S2/IM0001": dataset(np.roll(PIXELS, 3, 0), StudyDate="20210101", PatientAge="046Y"),
        "b.dcm": dataset(np.roll(PIXELS, 4, 0), PatientID="HOSP-7", PatientSex="M", BurnedInAnnotation="YES"),
        "faf.dcm": dataset(GREY_12, BitsStored=12, PatientID="HOSP-7", PatientSex="M"),
        "oct.dcm": dataset(NumberOfFrames=2, PixelData=PIXELS.tobytes() * 2),
        "report.dcm": dataset(Rows=None, PixelData=None),
        **{f"{way}.dcm": COLOUR[way]() for way in COLOUR},
    }
    for number, (name, each) in enumerate(made.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if number > 6:
            each.PatientID, each.PatientName = f"X{number}", "Other^Name"
        (root / name).write_bytes(content(each))
    (root / "copy.dcm").write_bytes((root / "b.dcm").read_bytes())
    (root / "notes.txt").write_text("not for records")
    (root / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    return root


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> tuple[Path, dict]:
    root = archive(tmp_path_factory.mktemp("dicom") / "set")
    out = root.with_name("records")
    return out, import_source("dicom", root, out)


def test_a_folder_of_dicom_becomes_records_without_a_table(imported):
    out, result = imported
    rows = read_table(out).to_pylist()
    assert {
        reason: each["files"] for reason, each in result["reasons"].items() if "same file" not in reason
    } == {
        "several pictures in one file": ["oct.dcm"],
        "DICOM without a picture": ["report.dcm"],
        "DICOM instance twice": ["copy.dcm"],
        "picture that is not DICOM": ["photo.jpg"],
    }
    same = sum(each["count"] for reason, each in result["reasons"].items() if "same file" in reason)
    assert len(rows) == result["kept"] == 5 + len(COLOUR) - same
    people: dict[str, list[dict]] = {}
    for row in rows:
        people.setdefault(row["subject_id"], []).append(row)
    three = next(each for each in people.values() if len(each) == 3)
    assert sorted((row["eye_side"], row["age"], row["sex"]) for row in three) == [
        ("left", 45.0, "F"), ("right", 45.0, "F"), ("right", 46.0, "F"),
    ]  # fmt: skip
    two = next(each for each in people.values() if len(each) == 2)
    assert sorted(str(row["modality"]) for row in two) == ["None", "cfp"] and {row["sex"] for row in two} == {
        "M"
    }
    assert all(row["dr_grade"] is None and row["is_gc"] is None for row in rows)
    assert result["notes"]["DICOM headers that say text is burnt into the picture: review"] == 1
    assert result["notes"]["pictures with metadata or text, which was left out"] >= len(rows)


def test_no_text_of_a_header_is_anywhere_in_the_records(imported):
    out, _ = imported
    texts = [word for value in PRIVATE.values() for word in (value, *value.split("^")) if len(word) > 4]
    uids = [b"1.2.826.0.1.3680043", b"1.2.840.10008"]  # as pydicom begins its own, and the standard's
    for path in (path for path in out.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for text in texts:
            for form in (text.encode(), text.encode("utf-16-le"), text.encode().hex().encode()):
                assert form not in data, f"{text} is in {path}"
        assert not [each for each in uids if each in data], path


def test_every_photograph_is_that_of_its_own_header(imported, tmp_path):
    """Pixels against labels: each picture was rolled by another number of rows."""
    out, _ = imported
    rows = read_table(out, columns=["age", "eye_side", "sex"]).to_pylist()
    found = {}
    for row, data in zip(rows, Pictures(out), strict=True):
        for rows_rolled in range(1, 5):
            if np.array_equal(decode(data), np.roll(PIXELS, rows_rolled, 0)):
                found[rows_rolled] = (row["age"], row["eye_side"], row["sex"])
    assert found == {
        1: (45.0, "right", "F"), 2: (45.0, "left", "F"), 3: (46.0, "right", "F"), 4: (45.0, "right", "M"),
    }  # fmt: skip


def test_a_table_goes_over_the_header_and_contradictions_are_counted(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.dcm").write_bytes(content(dataset(np.roll(PIXELS, number, 0))))
    (root / "IM7").write_bytes(content(dataset(np.roll(PIXELS, 7, 0))))
    lines = [
        "file,who,eye,years,sex",
        "0.dcm,a,right,45,F",
        "1.dcm,a,left,,",
        "2,b,,60,M",
        "IM7,c,,,",
        "3.dcm,d,,46,",
    ]
    (root / "visits.csv").write_text("\n".join(lines) + "\n")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "table: visits.csv\ncolumns: {image: file, subject_id: who, eye_side: eye, age: years, sex: sex}\n"
    )
    result = import_source("folder", root, tmp_path / "records", mapping=mapping)
    rows = {row["id"]: row for row in read_table(tmp_path / "records").to_pylist()}
    known = {key: (row["eye_side"], row["age"], row["sex"]) for key, row in rows.items()}
    assert known == {
        "folder-0": ("right", 45.0, "F"),
        "folder-1": ("left", 45.0, "F"),
        "folder-2": ("right", 60.0, "M"),
        "folder-IM7": ("right", 45.0, "F"),
        "folder-3": ("right", 46.0, "F"),
    }
    assert rows["folder-1"]["subject_id"] == "folder-a"
    differ = {note: count for note, count in result["notes"].items() if "differs" in note}
    assert differ == {
        f"{key} differs between table and DICOM header, the table's kept": 1
        for key in ("eye_side", "age", "sex")
    }
    assert result["notes"]["age from the DICOM header"] == 2 and result["reasons"] == {}


def test_an_encoder_takes_every_photograph_as_it_takes_its_record(imported, tmp_path):
    """`clip predict`, `clip embed` and `clip search` see the same pixels, whether in DICOM or in records."""
    model = build(MODEL, 0).eval()
    path = tmp_path / "ckpt.pt"
    checkpoint.save(path, checkpoints.header(model, images=0) | {"weights": model.state_dict()})
    folder = archive(tmp_path / "set")
    for name in ("oct.dcm", "report.dcm", "photo.jpg"):
        (folder / name).unlink()
    result = CliRunner().invoke(clip_app, ["predict", str(folder), "--model", str(path), "--json"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(COLOUR) + 3  # IM0001 and the like lie in folders below
    square = MODEL.preprocessing(image_io.read(folder / "DICOM" / "S1" / "IM0001"))
    direct = embed.pixels(model, square[None])[0]
    out, _ = imported
    embed.write(tmp_path / "embedded.parquet", model, out)
    embedded = search.read(tmp_path / "embedded.parquet")
    assert np.abs(embedded.vectors - direct).sum(1).min() < 1e-4
    hits = search.search(model, embedded, "疑似青光眼。", 3)
    search.sheet(tmp_path / "found.png", "疑似青光眼。", hits, out)
    assert (tmp_path / "found.png").stat().st_size > 0

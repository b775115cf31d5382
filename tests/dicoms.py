"""Small DICOM photographs for tests: one gradient, in every way that files hold it."""

import io
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

Y, X = np.mgrid[0:64, 0:80]
PIXELS = np.stack([X * 3, Y * 4, 255 - (X + Y)], -1).astype(np.uint8)
GREY = PIXELS[..., 0]
GREY_12 = np.round(GREY * (4095 / 255)).astype(np.uint16)

PRIVATE = {
    "PatientName": "Secretname^Anna",
    "PatientID": "HOSP-004217",
    "PatientBirthDate": "19740405",
    "StudyDate": "20200607",
    "InstitutionName": "St. Elsewhere Eye Hospital",
    "StationName": "NONMYD7",
    "DeviceSerialNumber": "SN90125",
    "StudyDescription": "suspected glaucoma follow-up",
    "ImageComments": "comment nobody may read",
    "AccessionNumber": "ACC77123",
}
"""What a header says and records never do."""


def dataset(pixels: np.ndarray = PIXELS, syntax: str = uid.ExplicitVRLittleEndian, **more) -> Dataset:
    """A photograph with its header; `more` goes over it, and None takes an element away."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = uid.UID("1.2.840.10008.5.1.4.1.1.77.1.5.1")
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = uid.generate_uid()
    made.Modality, made.PatientAge, made.PatientSex, made.ImageLaterality = "OP", "045Y", "F", "R"
    made.Rows, made.Columns, made.PixelRepresentation = 64, 80, 0
    made.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if made.SamplesPerPixel == 3 else "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.PixelData = pixels.tobytes()
    for name, value in (PRIVATE | more).items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    made.HighBit = made.BitsStored - 1
    return made


def encoded(data: bytes, syntax: str, pixels: np.ndarray = PIXELS, **more) -> Dataset:
    """A photograph whose pixels are compressed."""
    return dataset(pixels, syntax, PixelData=encapsulate([data]), **more)


def content(made: Dataset) -> bytes:
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def image(kind: str, picture: np.ndarray = PIXELS, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def unmarked(data: bytes) -> bytes:
    """A JPEG file without its JFIF segment, so that nothing says which colours it holds."""
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def adobe(data: bytes, transform: int) -> bytes:
    """The same with Adobe's segment: 0 RGB, 1 YCbCr."""
    return data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + unmarked(data)[2:]


def converted(made: Dataset, syntax: str, folder: Path) -> bytes:
    """The file of a photograph in another transfer syntax, as GDCM writes it."""
    (folder / "in.dcm").write_bytes(content(made))
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "in.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(folder / "out.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "out.dcm").read_bytes()


def _halved() -> bytes:
    """YBR_FULL_422 as files without compression hold it: two of brightness, then one of each colour."""
    pairs = np.asarray(Image.fromarray(PIXELS).convert("YCbCr")).reshape(-1, 2, 3)
    return np.concatenate([pairs[:, 0, :1], pairs[:, 1, :1], pairs[:, 0, 1:]], 1).tobytes()


def _rle(pixels: np.ndarray) -> Dataset:
    made = dataset(pixels)
    made.compress(uid.RLELossless)
    return made


YCBCR = np.asarray(Image.fromarray(PIXELS).convert("YCbCr"))
JPEG = image("JPEG", quality=95, subsampling=1)


def _untransformed() -> bytes:
    """A JPEG file of RGB in which nothing says so."""
    buffer = io.BytesIO()
    Image.frombytes("YCbCr", (80, 64), PIXELS.tobytes()).save(buffer, "JPEG", quality=95, subsampling=0)
    return unmarked(buffer.getvalue())


COLOUR: dict[str, Callable[[], Dataset]] = {
    "explicit": lambda: dataset(),
    "implicit": lambda: dataset(syntax=uid.ImplicitVRLittleEndian),
    "big endian": lambda: dataset(syntax=uid.ExplicitVRBigEndian),
    "deflated": lambda: dataset(syntax=uid.DeflatedExplicitVRLittleEndian),
    "planes": lambda: dataset(PlanarConfiguration=1, PixelData=PIXELS.transpose(2, 0, 1).tobytes()),
    "YBR_FULL": lambda: dataset(YCBCR, PhotometricInterpretation="YBR_FULL"),
    "YBR_FULL_422": lambda: dataset(PixelData=_halved(), PhotometricInterpretation="YBR_FULL_422"),
    "rle": lambda: _rle(PIXELS),
    "jpeg": lambda: encoded(JPEG, uid.JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"),
    "jpeg unmarked": lambda: encoded(
        unmarked(JPEG), uid.JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"
    ),
    "jpeg whose header is wrong": lambda: encoded(JPEG, uid.JPEGBaseline8Bit),
    "jpeg of Adobe": lambda: encoded(
        adobe(JPEG, 1), uid.JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"
    ),
    "jpeg of Adobe, header wrong": lambda: encoded(adobe(JPEG, 1), uid.JPEGBaseline8Bit),
    "jpeg unmarked, header wrong, colours halved": lambda: encoded(unmarked(JPEG), uid.JPEGBaseline8Bit),
    "jpeg in rgb": lambda: encoded(
        image("JPEG", quality=95, keep_rgb=True),
        uid.JPEGBaseline8Bit,
        PhotometricInterpretation="YBR_FULL_422",
    ),
    "jpeg in rgb, unmarked": lambda: encoded(
        _untransformed(), uid.JPEGBaseline8Bit, PhotometricInterpretation="RGB"
    ),
    "jpeg 2000": lambda: encoded(
        image("JPEG2000", no_jp2=True, mct=1), uid.JPEG2000Lossless, PhotometricInterpretation="YBR_RCT"
    ),
    "jpeg 2000 without transformation": lambda: encoded(
        image("JPEG2000", no_jp2=True, mct=0), uid.JPEG2000Lossless
    ),
    "jpeg 2000 whose header is wrong": lambda: encoded(
        image("JPEG2000", no_jp2=True, mct=1), uid.JPEG2000Lossless, PhotometricInterpretation="YBR_FULL"
    ),
    "jpeg 2000 with loss": lambda: encoded(
        image("JPEG2000", no_jp2=True, mct=1, irreversible=True, quality_layers=[5]),
        uid.JPEG2000,
        PhotometricInterpretation="YBR_ICT",
    ),
}
"""Way -> the gradient in it."""

GREYS: dict[str, Callable[[], Dataset]] = {
    "8 bits": lambda: dataset(GREY),
    "8 bits, 0 is white": lambda: dataset(255 - GREY, PhotometricInterpretation="MONOCHROME1"),
    "12 bits": lambda: dataset(GREY_12, BitsStored=12),
    "12 bits in 16": lambda: dataset(GREY_12),
    "16 bits": lambda: dataset(GREY.astype(np.uint16) * 257),
    "12 bits, 0 is white": lambda: dataset(
        4095 - GREY_12, BitsStored=12, PhotometricInterpretation="MONOCHROME1"
    ),
    "12 bits in rle": lambda: _rle(GREY_12),
    "16 bits in jpeg 2000": lambda: encoded(
        image("JPEG2000", GREY.astype(np.uint16) * 257, no_jp2=True),
        uid.JPEG2000Lossless,
        GREY.astype(np.uint16),
    ),
    "8 bits in jpeg": lambda: encoded(image("JPEG", GREY, quality=95), uid.JPEGBaseline8Bit, GREY),
}
"""The same of its red as grey."""

BY_GDCM = ("JPEGLosslessProcess14_1", "JPEGLosslessProcess14", "JPEGLSLossless", "JPEG2000Lossless")
"""GDCM's names of further syntaxes."""

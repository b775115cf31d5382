"""Public image sets, one file each: the set's own layout -> pictures with labels of our vocabulary."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from synth.base.errors import UserError


class Source(NamedTuple):
    """A public set: what it is, under which licence, what to cite, and the module that reads it."""

    title: str
    licence: str
    citation: str
    module: str


SOURCES = {
    "odir5k": Source("ODIR-5K: both eyes, diagnostic keywords, age, sex (China)", "research use, no redistribution", "Peking University, ODIR-2019 challenge", "odir5k"),
    "idrid": Source("IDRiD: retinopathy grades, risk of macular edema (India)", "CC BY 4.0", "Porwal et al. 2018, doi:10.3390/data3030025", "idrid"),
    "hygd": Source("Hillel Yaffe Glaucoma Dataset: glaucomatous neuropathy (Israel)", "PhysioNet open access", "Hillel Yaffe Glaucoma Dataset 1.0.0, PhysioNet", "hygd"),
    "hei-med": Source("HEI-MED: people with diabetes, race, sex, age (USA)", "non-commercial research", "Giancardo et al. 2012, doi:10.1016/j.media.2011.07.004", "hei_med"),
    "unam": Source("UNAM/IMO/APEC/INDEREB: paired photographs and OCT, macular edema (Mexico)", "none stated, citation asked for", "UNAM, IMO, APEC, INDEREB", "unam"),
    "palm": Source("PALM: pathologic myopia, training part (China)", "the challenge's, text not seen", "Fang et al. 2024, doi:10.1038/s41597-024-02911-2", "palm"),
    "grape": Source("GRAPE: glaucoma at several visits, both eyes, age, sex (China)", "CC BY 4.0 as recalled, not seen", "Huang et al. 2023, doi:10.1038/s41597-023-02424-4", "grape"),
    "synfundus": Source("SynFundus-1M: synthetic, eleven diseases, readability", "CC BY-NC-SA 4.0, research only", "Shang et al. 2023, arXiv:2312.00377", "synfundus"),
    "messidor2": Source("MESSIDOR-2: adjudicated retinopathy grades, macular edema (France)", "research use, no redistribution", "Decenciere et al. 2014, doi:10.5566/ias.1155; grades of Krause et al. 2018", "messidor2"),
    "messidor": Source("MESSIDOR: retinopathy grades, risk of macular edema (France)", "research use, no redistribution", "Decenciere et al. 2014, doi:10.5566/ias.1155", "messidor"),
    "fives": Source("FIVES: degeneration, retinopathy, glaucoma, normal (China)", "CC BY 4.0", "Jin et al. 2022, doi:10.1038/s41597-022-01564-3", "fives"),
    "refuge": Source("REFUGE: glaucoma, training part (China)", "registration with the challenge", "Orlando et al. 2020, doi:10.1016/j.media.2019.101570", "refuge"),
    "aptos": Source("APTOS 2019: retinopathy grades (India)", "rules of the competition", "Asia Pacific Tele-Ophthalmology Society, 2019", "aptos"),
    "papila": Source("PAPILA: both eyes, glaucoma, age, sex (Spain)", "unclear: CC BY 4.0 in the article, at figshare perhaps GPL 3", "Kovalyk et al. 2022, doi:10.1038/s41597-022-01388-1", "papila"),
    "brset": Source("BRSET: both eyes, thirteen labels, age, sex, quality (Brazil)", "PhysioNet credentialed access", "Nakayama et al. 2023, doi:10.13026/xcxw-8198", "brset"),
    "rfmid": Source("RFMiD: forty-five rare and common labels (India)", "CC BY 4.0", "Pachade et al. 2021, doi:10.3390/data6020014", "rfmid"),
    "dicom": Source("your own: DICOM photographs with eye, age and sex in their headers, no table", "yours", "yours", "dicom"),
    "folder": Source("your own: a CSV file and a column mapping in YAML (--mapping)", "yours", "yours", "folder"),
}  # fmt: skip


def source_of(name: str) -> Callable[..., Iterator[Any]]:
    """The function `photos(root, report)` of a set.

    Raises:
        UserError: no such set.
    """
    if name not in SOURCES:
        raise UserError(f"unknown source '{name}'; known: {', '.join(SOURCES)}")
    return import_module(f"synth.sources.{SOURCES[name].module}").photos

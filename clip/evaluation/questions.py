"""Closed questions about photographs: built from the labels of records, or read from a table.

A table is a CSV file with one question a line:

    impath,question,answer[,type][,choices][,subject_id][,split]

`impath` is a picture below the file's folder, or the id of a record; `choices` are separated by |.  That is what we assume of
OphthalVQA, whose files we have not seen: 60 pictures, ten questions each.  Where no choices are given, the candidates
are the distinct answers to questions of the same type.  A question in Chinese characters is Chinese, any other English.
"""

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from clip.benchmarks import layouts
from clip.prompts import NORMAL
from synth.base.errors import UserError
from synth.data import captions
from synth.data.phrases import Lang
from synth.data.vocabulary import DISEASES, DR, DR_GRADES, FINDINGS, MODALITIES, SIDES, Term
from synth.sources.paths import without_suffix
from synth.sources.tables import read_csv

Kind = Literal["disease", "grade", "finding", "side", "modality"]
COLUMNS = ("impath", "question", "answer")
YES = {"zh": ("否", "是"), "en": ("no", "yes")}


class QuestionForm(NamedTuple):
    """A question as it is put: its words, its type, and what may be answered."""

    text: str
    kind: str
    choices: tuple[str, ...]
    statements: tuple[tuple[str, ...], ...]
    """Texts that say each choice, for an encoder to compare with the picture."""


class Question(NamedTuple):
    """A question about one photograph, and its answer."""

    row: int
    """Of the photograph in the records' table."""
    form: QuestionForm
    answer: int
    """Number of the choice that is right."""


def from_labels(table: pa.Table, lang: Lang) -> list[Question]:
    """Every question that the labels of records answer; unknown asks nothing."""
    columns = table.to_pydict()
    questions: list[Question] = []
    for form, values in _askable(columns, lang):
        questions += [Question(row, form, value) for row, value in enumerate(values) if value is not None]
    return questions


def _askable(columns: dict[str, list[Any]], lang: Lang) -> Iterator[tuple[QuestionForm, list[int | None]]]:
    """Each question with the answer of every record, None where it is unknown."""
    grades = columns[DR.key]
    yield (
        _grade(lang),
        grades,
    )
    yield _present(DR, {DR.key: 2}, "disease", lang), [None if g is None else int(g > 0) for g in grades]
    for disease in DISEASES:
        yield _present(disease, {disease.key: 1}, "disease", lang), columns[disease.key]
    for finding in FINDINGS:
        told = columns["findings"]
        yield (
            _present(finding, {"findings": [finding.key]}, "finding", lang),
            [None if known is None else int(finding.key in known) for known in told],
        )
    which = {"zh": "这是左眼还是右眼？", "en": "Is this a left eye or a right eye?"}[lang]
    yield _one_of(which, "eye_side", SIDES, "side", columns, lang)
    taken = {"zh": "这是哪种检查的图像？", "en": "With which technique was this picture taken?"}[lang]
    yield _one_of(taken, "modality", MODALITIES, "modality", columns, lang)


def _present(term: Term, labels: dict[str, Any], kind: Kind, lang: Lang) -> QuestionForm:
    words = term.zh if lang == "zh" else term.en
    text = f"图中有{words}吗？" if lang == "zh" else f"Does this picture show {words}?"
    return QuestionForm(text, kind, YES[lang], (_said(NORMAL, lang), _said(labels, lang)))


def _grade(lang: Lang) -> QuestionForm:
    text = {"zh": "糖尿病视网膜病变是几级？", "en": "Which grade of diabetic retinopathy is this?"}[lang]
    names = tuple(grade.zh if lang == "zh" else grade.en for grade in DR_GRADES)
    labels = [NORMAL, *({DR.key: grade} for grade in range(1, 5))]
    return QuestionForm(text, "grade", names, tuple(_said(each, lang) for each in labels))


def _one_of(
    text: str, column: str, terms: tuple[Term, ...], kind: Kind, columns: dict[str, list[Any]], lang: Lang
) -> tuple[QuestionForm, list[int | None]]:
    keys = [term.key for term in terms]
    said = [_said({column: key}, lang) for key in keys]
    shared = set.intersection(*map(set, said))  # "A fundus photograph." says nothing of its side
    own = tuple(tuple(words for words in each if words not in shared) for each in said)
    names = tuple(term.zh if lang == "zh" else term.en for term in terms)
    return QuestionForm(text, kind, names, own), [
        None if v is None else keys.index(v) for v in columns[column]
    ]


def _said(labels: dict[str, Any], lang: Lang) -> tuple[str, ...]:
    return captions.variants(labels, lang)


def from_table(path: Path, table: pa.Table) -> dict[Lang, list[Question]]:
    """The questions of a file, by language, about the photographs of records.

    Raises:
        UserError: a column is missing, no question is about a photograph that is there, or an answer is no choice.
    """
    lines = read_csv(path, COLUMNS)
    rows = _rows(table)
    asked = [(line, rows[_identity(line["impath"])]) for line in lines if _identity(line["impath"]) in rows]
    if not asked:
        raise UserError(
            f"{path}: no question is about a picture of the records, such as {lines[0]['impath']}"
        )
    answers: dict[tuple[Lang, str], set[str]] = {}
    for line, _ in asked:
        answers.setdefault((language(line["question"]), line.get("type", "")), set()).add(
            plain(line["answer"])
        )
    found: dict[Lang, list[Question]] = {}
    for line, row in asked:
        lang, kind = language(line["question"]), line.get("type", "")
        given = [plain(choice) for choice in line.get("choices", "").split("|") if choice.strip()]
        choices = tuple(given or sorted(answers[lang, kind]))
        if plain(line["answer"]) not in choices:
            raise UserError(
                f"{line.where}: answer='{line['answer']}' is none of its choices {line['choices']}"
            )
        said = tuple((f"{line['question']} {choice}",) for choice in choices)
        question = QuestionForm(line["question"], kind or "question", choices, said)
        found.setdefault(lang, []).append(Question(row, question, choices.index(plain(line["answer"]))))
    return found


def _rows(table: pa.Table) -> dict[str, int]:
    """Id of a record, with and without the name of its set -> row."""
    found = {}
    for row, (identity, source) in enumerate(
        zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True)
    ):
        found |= {identity: row, identity.removeprefix(f"{source}-"): row}
    return found


def _identity(impath: str) -> str:
    short = without_suffix(impath)
    return impath if short == impath else layouts.identity(short)


def plain(answer: str) -> str:
    """An answer as it is compared: in one width and case, without spaces and punctuation at its ends."""
    text = unicodedata.normalize("NFKC", answer).casefold()
    return re.sub(r"\s+", " ", text).strip(" .,;:!?。，；：！？")


def language(text: str) -> Lang:
    """Chinese where there is a Chinese character, else English."""
    return "zh" if re.search("[\u4e00-\u9fff]", text) else "en"

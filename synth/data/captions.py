"""Captions: labels -> one sentence of Chinese or English, and back; `clauses` says what a caption tells.

`parse(write(labels, lang, seed)) == stated(labels, lang, seed)`; both list findings in the vocabulary's order.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from synth.base.errors import UserError
from synth.data.clauses import Clause, Labels, clauses_of, meanings, normal
from synth.data.phrases import LANGUAGES, SEPARATORS, Lang, Language, Template, name
from synth.data.vocabulary import DISEASES, FINDING_KEYS, READABILITY_KEYS


def write(labels: Labels, lang: Lang, seed: int) -> str:
    """The caption of a record: a function of its arguments alone; the seed picks the template.

    Raises:
        UserError: a label or the language is outside the vocabulary.
    """
    return _render(labels, lang, *_choose(lang, seed))


def stated(labels: Labels, lang: Lang, seed: int) -> dict[str, Any]:
    """The labels that `write` of the same arguments tells."""
    opening, rest = clauses_of(labels, lang, *_choose(lang, seed))
    return _merge([*opening, *rest], "")


def variants(labels: Labels, lang: Lang) -> tuple[str, ...]:
    """The distinct captions of a record, at most one per template: an ensemble of zero-shot prompts."""
    return tuple(dict.fromkeys(_render(labels, lang, template, 0) for template in _language(lang).templates))


def templates(lang: Lang) -> tuple[str, ...]:
    """What captions of one suspected disease look like, its name left open as `{}`."""
    disease = DISEASES[0]
    return tuple(text.replace(name(disease, lang), "{}") for text in variants({disease.key: 1}, lang))


def parse(caption: str) -> dict[str, object]:
    """The labels that a caption states, Chinese or English, ours or SynFundus' own.

    A severity of a disease other than diabetic retinopathy is read and dropped: there is no label for it.

    Raises:
        UserError: a clause is not one of ours, or contradicts another.
    """
    clauses = [clause.strip() for clause in re.split(SEPARATORS, caption)]
    clauses = [clause for clause in clauses if clause]
    if not clauses:
        raise UserError(
            f"caption '{caption}': no words in it; leave the column null where there is no caption"
        )
    book = meanings()
    for clause in clauses:
        if normal(clause) not in book:
            raise UserError(
                f"caption '{caption}': unknown clause '{clause}'; "
                "word it as synth.data.captions does, for example '疑似青光眼' or 'suspected glaucoma'"
            )
    return _merge([(clause, book[normal(clause)]) for clause in clauses], caption)


def _language(lang: Lang) -> Language:
    if lang not in LANGUAGES:
        raise UserError(f"unknown language '{lang}' of a caption; known: {', '.join(LANGUAGES)}")
    return LANGUAGES[lang]


def _choose(lang: Lang, seed: int) -> tuple[Template, int]:
    """A template, and a number for the choices within it; hashed, so that seeds in a row are unrelated."""
    choices = _language(lang).templates
    number = int.from_bytes(hashlib.sha256(f"{lang} {seed}".encode()).digest()[:8], "big")
    return choices[number % len(choices)], number // len(choices)


def _render(labels: Labels, lang: Lang, template: Template, number: int) -> str:
    language = LANGUAGES[lang]
    opening, rest = clauses_of(labels, lang, template, number)
    text = "".join(words for words, _ in opening)
    if opening and rest:
        # "with" leads to a diagnosis, not to "the macula is not readable".
        diagnosed = any(set(meaning) - {*READABILITY_KEYS, "canary"} for _, meaning in rest[:1])
        text += template.then if template.then and diagnosed else language.comma
    text += language.comma.join(words for words, _ in rest) + language.stop
    return text[0].upper() + text[1:]


def _merge(clauses: Iterable[Clause], caption: str) -> dict[str, Any]:
    """All that the clauses state together."""
    merged: dict[str, Any] = {}
    for words, meaning in clauses:
        for key, value in meaning.items():
            known = merged.setdefault(key, value)
            if key == "findings" and known and value:
                merged[key] = [finding for finding in FINDING_KEYS if finding in (*known, *value)]
            elif known != value:
                raise UserError(
                    f"caption '{caption}': '{words}' contradicts what stands before it about {key}"
                )
    return merged

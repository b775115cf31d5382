"""Prompts of other people's models: each class by its bare name, in what the authors put around it at test."""

from collections.abc import Iterator
from typing import Literal

from clip import prompts
from clip.model.encoders import CLIP
from clip.prompts import NORMAL, Class, Task
from clip.zoo.foreign import Foreign, ForeignConfig
from synth.base.errors import UserError
from synth.data.vocabulary import DISEASES, DR, DR_GRADES, FINDINGS, Term

Lang = Literal["zh", "en", "both"]

_NORMAL = Term("normal", "正常", "normal")
_ALSO = {"glaucoma": "refuge"}
"""Tasks whose counterpart among `names-*` is called otherwise."""
_AROUND = {"en": "A fundus photograph of ", "zh": "的眼底照片"}
"""What stands around the names in the tasks `names-*`."""


def fitted(model: CLIP, lang: Lang, wanted: dict[str, Task]) -> tuple[Lang, dict[str, Task]]:
    """The language and the tasks in which a model is asked: ours as they stand, another's in its authors' words.

    A task that was asked for by name in somebody's words (`flair-*`, `expert-*`, `names-*`, `eyeclip-*`) stands as it is.

    Raises:
        UserError: the model reads no texts, or not that language.
    """
    lang = narrowed(model, lang)
    if not isinstance(model, Foreign):
        return lang, wanted
    config = model.config
    on_request = {key for file in prompts.files().values() if file.on_request for key in file.tasks}
    return lang, {
        name: task if name in on_request else _worded(name, task, config) for name, task in wanted.items()
    }


def narrowed(model: CLIP, lang: Lang) -> Lang:
    """The language in which a model is asked: of both, the one that it reads.

    Raises:
        UserError: the model reads no texts, or not that language.
    """
    if not isinstance(model, Foreign):
        return lang
    languages = model.config.languages
    if not languages:
        model.tokenize([""])  # says so
    if lang == "both" and len(languages) == 1:
        return languages[0]
    if lang != "both" and lang not in languages:
        raise UserError(
            f"--lang {lang}: {model.config.kind} is asked in {', '.join(languages)}; leave --lang out"
        )
    return lang


def reads(model: CLIP) -> bool:
    """Whether a model has a text tower."""
    return not isinstance(model, Foreign) or bool(model.config.languages)


def _worded(name: str, task: Task, config: ForeignConfig) -> Task:
    """A task in the words of a model's authors, where they have published any; else its bare names in their template."""
    called = _ALSO.get(name, name)
    own = _variant(f"{config.kind}-{called}", task) or _variant(f"{config.kind}-{name}", task)
    if own:
        return own
    bare = _variant(f"names-{called}", task)
    classes = {}
    for key, each in task.classes.items():
        names = _stripped(bare.classes[key]) if bare else tuple(_named(each))
        said = {
            lang: tuple(
                (config.template if lang in config.languages else "[CLS]").replace("[CLS]", pair[i])
                for pair in names
            )
            for i, lang in enumerate(("zh", "en"))
        }
        classes[key] = each.model_copy(update={"labels": {}, **said}) if names else each
    return task.model_copy(update={"classes": classes})


def _variant(name: str, task: Task) -> Task | None:
    """The task of that name, if it has the same classes; its words, with the records of `task`."""
    known = {key: each for file in prompts.files().values() for key, each in file.tasks.items()}
    found = known.get(name)
    if found is None or list(found.classes) != list(task.classes):
        return None
    classes = {
        key: each.model_copy(update={"where": task.classes[key].where}) for key, each in found.classes.items()
    }
    return task.model_copy(update={"classes": classes})


def _stripped(each: Class) -> tuple[tuple[str, str], ...]:
    pairs = zip(each.zh, each.en, strict=True)
    return tuple((zh.removesuffix(_AROUND["zh"]), en.removeprefix(_AROUND["en"])) for zh, en in pairs)


def _named(each: Class) -> Iterator[tuple[str, str]]:
    """What `labels` state, in the names of the vocabulary: (Chinese, English)."""
    if each.labels == NORMAL:
        yield _NORMAL.zh, _NORMAL.en
        return
    any_grade = any(isinstance(condition.get(DR.key), list) for condition in each.where)
    for key, value in each.labels.items():
        if key == DR.key and value:
            grade = next(grade for grade in DR_GRADES if grade.key == str(value))
            yield (DR.zh, DR.en) if any_grade else (f"{grade.zh}{DR.zh}", f"{grade.en} {DR.en}")
        elif key == "findings":
            yield from ((term.zh, term.en) for term in FINDINGS if term.key in value)
        elif value == 1:
            yield from ((term.zh, term.en) for term in DISEASES if term.key == key)

"""Templates of pages: what comes from data is escaped, and a name that nothing fills is an error.

All pages have one layout and one stylesheet, in `pages/`: they carry everything in themselves and run no script.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.base.translation import LANGUAGES, Catalogue, other, page_name

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(folder: Path, language: str = "en", catalogue: Catalogue | None = None) -> "Environment":
    """Jinja's environment for the templates of a folder and for those that all pages share.

    With a catalogue, texts in `{% trans %}` and `_()` and what goes through the filter `translated` are of the language.
    """
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent / "pages"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.policies["ext.i18n.trimmed"] = True
    made.globals.update(language=language, other=other(language), languages=LANGUAGES, page_name=page_name)
    if catalogue:
        made.filters["translated"] = lambda text: catalogue.translated(text, language)
        gettext = catalogue.pages.__getitem__ if language == "zh" else str
        texts: Any = made  # what the extension adds to it
        texts.install_gettext_callables(gettext, lambda one, many, n: gettext(one), newstyle=True)
    return made

"""Templates of pages: what comes from data is escaped, and a name that nothing fills is an error.

All pages have one layout and one stylesheet, in `pages/`: they carry everything in themselves and run no script.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(folder: Path) -> "Environment":
    """Jinja's environment for the templates of a folder and for those that all pages share."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent / "pages"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

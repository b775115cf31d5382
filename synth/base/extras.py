"""Libraries that only some verbs need: each comes with an extra of the package, and its absence is one line."""

import warnings
from importlib import import_module
from importlib.util import find_spec

from synth.base.errors import UserError

EXTRAS = {
    "cleanfid": "evaluate",
    "jieba": "evaluate",
    "mlcroissant": "croissant",
    "lmdb": "lmdb",
    "cn_clip": "compare",
    "open_clip": "baselines",
    "peft": "tune",
    "ray": "cluster",
    "opacus": "dp",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "gradio": "page",
    "tensorboard": "track",
    "wandb": "track",
}
"""The extra by the name under which the library is imported."""

_OTHERWISE = {"cn_clip": ", or where nothing can be compiled: pip install --no-deps cn-clip six"}


def require(what: str, *modules: str) -> None:
    """Make sure that modules of extras can be imported, before the work that needs them begins.

    Args:
        what:    needs them: a flag with its value, a file, or a setting.
        modules: of libraries of `EXTRAS`.

    Raises:
        UserError: one is absent, or does not import.
    """
    for module in modules:
        library = module.partition(".")[0]
        if not is_installed(library):
            raise UserError(f"{what}: needs {library}, which is not installed; {remedy(library)}")
        try:
            with warnings.catch_warnings():  # what Python 3.12 and later say of jieba's patterns
                warnings.simplefilter("ignore", SyntaxWarning)
                import_module(module)
        except ImportError as error:
            raise UserError(
                f"{what}: {library} is installed, but does not import ({' '.join(str(error).split())}); "
                "mend or remove what it names"
            ) from None


def is_installed(library: str) -> bool:
    """Whether a library can be found; nothing is imported."""
    return find_spec(library) is not None


def remedy(library: str) -> str:
    """The command that installs a library of `EXTRAS`."""
    return f"pip install 'visionclip[{EXTRAS[library]}]'{_OTHERWISE.get(library, '')}"

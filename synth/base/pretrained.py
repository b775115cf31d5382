"""Folders of `transformers` and its like that others made: read as data, never as code, and fetched only when told to."""

import pickle
from pathlib import Path
from typing import Any

from synth.base import arguments, documents, weights
from synth.base.errors import UserError

_TEXTS = ["*.json", "*.txt", "*.model"]
"""What a folder holds beside weights: configurations, and the vocabulary of a tokenizer."""
_CONFIGURATIONS = (
    "config.json", "tokenizer_config.json", "special_tokens_map.json", "processor_config.json",
    "preprocessor_config.json", "generation_config.json", "video_preprocessor_config.json",
)  # fmt: skip
_DATA_ALONE: Any = {"trust_remote_code": False, "local_files_only": True}
_NOTES = ("_name_or_path", "name_or_path", "id2label", "label2id", "task_specific_params", "finetuning_task")
"""What a model's configuration keeps for people; nothing is opened by it."""


def errors() -> tuple[type[BaseException], ...]:
    """What these libraries raise on a file that is damaged, foreign or absent, or a hub that cannot be reached."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return (
        StrictDataclassError, SafetensorError, pickle.UnpicklingError, OSError, ValueError, TypeError, LookupError,
        AttributeError, RuntimeError, AssertionError, ArithmeticError, ImportError, EOFError,
    )  # fmt: skip


def reason(error: BaseException, length: int = 200) -> str:
    """An error of a library in at most `length` characters of one line; its kind, where it says nothing."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def local(name: str) -> Path:
    """The checked folder of that name, or what the hub's cache holds of a repository; nothing is fetched.

    For names that files say: no file sends us to a hub.

    Raises:
        UserError: neither, or the folder sends a library to code.
    """
    if Path(name).is_dir():
        return check_folder(Path(name))
    try:
        return check_folder(_snapshot(name, None, local=True))
    except errors() as error:
        raise UserError(
            f"{name}: not on this machine ({reason(error, 120)}); "
            f"fetch it with 'hf download {name}', or give its folder"
        ) from None


def fetched(name: str) -> Path:
    """The checked configurations and vocabularies of a hub's repository, which a person named.

    Raises:
        UserError: the hub has none, cannot be reached, or it sends a library to code.
    """
    try:
        return check_folder(_snapshot(name, _TEXTS, local=False))
    except errors() as error:
        raise UserError(
            f"{name}: not to be had from the hub ({reason(error, 120)}); give a local folder"
        ) from None


def tokenizer(folder: Path) -> Any:
    """The tokenizer of a checked folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, **_DATA_ALONE)


def model(folder: Path) -> Any:
    """The network of a checked folder, in evaluation mode, of finite weights that are read as data alone."""
    from transformers import AutoModel

    _without_bars()
    found = AutoModel.from_pretrained(folder, use_safetensors=_has_safetensors(folder), **_DATA_ALONE)
    weights.check_finite(found, str(folder))
    return found.float().eval()


def configuration(folder: Path) -> Any:
    """What a checked folder says of its network."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, **_DATA_ALONE)


def part(kind: Any, folder: Path, **settings: Any) -> Any:
    """What `kind`, a class of `transformers` or `diffusers`, makes of a folder whose settings are checked or our own."""
    if kind.__module__.startswith("transformers."):
        _without_bars()
    return kind.from_pretrained(folder, local_files_only=True, **settings)


def _without_bars() -> None:
    """Let transformers read weights without a word: what a command refuses is one line."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def _has_safetensors(folder: Path) -> bool | None:
    """True where there are some: None lets the library choose, which reads other files with `weights_only`."""
    return True if any(folder.glob("*.safetensors")) else None


def _snapshot(name: str, patterns: list[str] | None, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=local))


def check_folder(folder: Path) -> Path:
    """The folder again; refuse one whose configuration would have a library run code, or open what lies elsewhere.

    Raises:
        UserError: names the file, the key and its value.
    """
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        raise UserError(
            f"{adapter}: sends the library to another model, which it names; merge the adapter, or remove the file"
        )
    for name in _CONFIGURATIONS:
        if (folder / name).exists():
            found = documents.read_mapping(folder / name)
            try:
                arguments.check_no_code(found)
                if name == "config.json":
                    _check_plain(found)
            except ValueError as error:
                raise UserError(f"{folder / name}: {error}") from None
    return folder


def _check_plain(config: dict[str, Any]) -> None:
    for name, value in config.items():
        if isinstance(value, dict) and name not in _NOTES:
            _check_plain(value)
        elif name not in _NOTES:
            arguments.check_plain(value, name)

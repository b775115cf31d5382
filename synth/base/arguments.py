"""What a file may hand to a library's constructor: arguments by known names; numbers, booleans and short names as values.

A checkpoint, a configuration or a folder is data, and opening it must fetch nothing, write nothing and run nothing.
Libraries take more by their keyword arguments than the shape of a network: an address to fetch, a folder to write, a
file of code to run.  So whatever a file says passes here before a library sees it.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

_NAME = re.compile(r"\w(?:[\w+-]|\.(?!\.)){0,63}", re.ASCII)
MOST_BLOCKS = 1_000
"""Of a network, in a row."""
LARGEST = 2**31
"""Of any whole number that gives a network its shape."""
_BLOCKS = re.compile(r"(^|[_.])(depths?|layers?|blocks?)([_.]|$)")
_SHOWN = 60
"""Characters of a refused value that a message shows."""

CODE = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "quantization_config"})
"""Names by which a Hugging Face configuration sends a library to code, or to other libraries."""

_SHAPE = """
img_size patch_size embed_dim embed_dims depth depths num_heads heads head_dim mlp_ratio mlp_ratios window_size
layers channels dim dims width widths stages kernel_size kernel_sizes stem_size stem_width stem_chs num_features
base_width base_dim base_dims width_mult depth_mult width_factor cardinality groups growth_rate expand_ratio
output_stride head_hidden_size head_widths hidden_size sr_ratios strides block_config init_values ls_init_value
layer_scale_init_value head_init_scale norm_eps reg_tokens num_reg_tokens num_kv_heads pool_size se_ratio
drop_rate drop_path_rate proj_drop_rate attn_drop_rate pos_drop_rate patch_drop_rate drop_block_rate
global_pool class_token no_embed_class pos_embed qkv_bias proj_bias qk_norm pre_norm final_norm fc_norm
scale_attn_norm scale_mlp_norm swiglu_mlp use_fc_norm use_grn conv_mlp conv_bias conv_stride head_norm_first
dynamic_img_size dynamic_img_pad strict_img_size weight_init fix_init zero_init_last stem_type pad_type attn_type
token_mixers avg_down replace_stem_pool ape patch_norm act_layer norm_layer memory_efficient
"""  # sizes, what is dropped in training, and which of several ways
TIMM = frozenset(_SHAPE.split())
"""Arguments of `timm.create_model` that give a network its shape; the others fetch, store or rewrite."""


def is_name(value: Any) -> bool:
    """Whether a value is a short name: letters, digits and `_ + - .`, and neither a path, an address nor code."""
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def check_network_name(name: str) -> None:
    """Refuse what is no name of a network in timm's own list: `hf-hub:`, `local-dir:` and paths name a place.

    Raises:
        ValueError: it is none, in words.
    """
    if not is_name(name):
        raise ValueError(
            f"{_short(name)} names a place, where the name of a timm network is needed, for example 'resnet18'"
        )


def check_arguments(
    values: Mapping[str, Any], allowed: Collection[str], remedy: str = "leave it out"
) -> None:
    """Refuse arguments that are not among the `allowed` ones, and values that are not plain.

    Raises:
        ValueError: names the first that is refused, its value, and the remedy.
    """
    for name, value in values.items():
        if name not in allowed:
            closest = difflib.get_close_matches(str(name), allowed, 1, cutoff=0.85)
            advice = f"did you mean '{closest[0]}'?" if closest else remedy
            raise ValueError(
                f"{name}={_short(value)}: not among the arguments that a file may give; {advice}"
            )
        check_plain(value, str(name))


def _check_number(value: Any, name: str) -> None:
    """Refuse a number that no network has: it would be built for hours before it fails.

    Raises:
        ValueError: names it and its value.
    """
    most = MOST_BLOCKS if _BLOCKS.search(name) else LARGEST
    if isinstance(value, int) and abs(value) > most:
        raise ValueError(f"{name}={_short(value)}: no network has so many, at most {most:,} are taken")


def check_plain(value: Any, name: str) -> None:
    """Refuse a value that is not null, a number, a boolean, a short name, or a list or mapping of these.

    Raises:
        ValueError: names it and its value.
    """
    _check_number(value, name)
    if isinstance(value, list | tuple):
        for each in value:
            check_plain(each, name)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            check_plain(key, name)
            check_plain(each, f"{name}.{key}")
    elif (
        value is not None and not isinstance(value, bool | int | float) and value != "" and not is_name(value)
    ):
        raise ValueError(
            f"{name}={_short(value)}: a number, true, false or a short name is needed, or a list of these"
        )


def check_no_code(value: Any, name: str = "") -> None:
    """Refuse, at any depth of a configuration, names that send a library to code.

    Raises:
        ValueError: names the first, its value, and the remedy.
    """
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, each in inner:
        place = f"{name}.{key}".lstrip(".")
        if key in CODE:
            raise ValueError(
                f"{place}={_short(each)}: sends a library to code of the folder, which is never run; remove it, or "
                "take a folder that needs none"
            )
        check_no_code(each, place)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"

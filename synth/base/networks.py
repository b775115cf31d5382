"""Networks of timm by name and shape: built with random weights, from plain arguments; weights come from a file that is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synth.base import arguments, checkpoint, weights
from synth.base.errors import UserError


def build(name: str, num_classes: int, kwargs: Mapping[str, Any] | None = None, **ours: Any) -> Any:
    """A network of timm's own list.

    Args:
        kwargs: what a file says of its shape, of `arguments.TIMM`.
        ours:   what code of ours says beside it.

    Raises:
        ValueError: the name names a place, or an argument is not among those that a file may give.
    """
    import timm

    arguments.check_network_name(name)
    arguments.check_arguments(kwargs or {}, arguments.TIMM)
    return timm.create_model(name, pretrained=False, num_classes=num_classes, **{**(kwargs or {}), **ours})


def load(network: Any, file: Path, may_lack: str = "") -> None:
    """Load a state dictionary of the same network; what else it holds, a last layer mostly, is left over.

    Args:
        may_lack: what names begin with of a layer that is kept as it is, for example "classifier.".

    Raises:
        UserError: no such file, or weights that are missing, of another shape or kind, or no numbers.
    """
    state: Any = weights.read(file) if file.suffix == ".safetensors" else checkpoint.load(file)
    state = dict(state.get("state_dict", state.get("model", state))) if isinstance(state, dict) else {}
    own = network.state_dict()
    wanted = [name for name in own if not may_lack or not name.startswith(may_lack)]
    missing = set(wanted) - state.keys()
    if missing:
        raise UserError(f"{file}: no weights of this network; '{min(missing)}' is missing")
    taken = own | {name: state[name] for name in wanted}
    weights.check_finite(taken, str(file))
    weights.check_kinds(network, taken, str(file))
    try:
        network.load_state_dict(taken)
    except RuntimeError as error:
        raise UserError(f"{file}: weights of another shape ({str(error).splitlines()[-1].strip()})") from None

"""What there is to say of a benchmark before any picture is read."""

from typing import Any

from clip.benchmarks import leaks, named


def about(name: str) -> dict[str, Any]:
    """All facts of a benchmark, and what answers that see no picture score on it.

    Raises:
        UserError: no such benchmark.
    """
    benchmark = named(name)
    return benchmark.model_dump(mode="json") | {"leaks": leaks(name), "without_pictures": blind(name)}


def blind(name: str) -> dict[str, dict[str, float]]:
    """What the largest class and a fair die score, from the published class counts alone; empty where there are none."""
    import numpy as np

    from clip import prompts
    from clip.evaluation import core

    benchmark = named(name)
    sizes = [held.n for held in (benchmark.classes or {}).values()]
    if not sizes or None in sizes:
        return {}
    task = next(iter(prompts.tasks(benchmark.prompts[0]).values()))
    return core.blind(np.array(sizes), task.ordinal)


def leak(told: dict[str, Any]) -> str:
    """One line of the ledger in words."""
    words = {
        (True, True): "pictures and labels",
        (True, False): "pictures, not labels",
        (True, None): "pictures, labels in part",
        (False, False): "no",
    }
    said = words.get((told["images"], told["labels"]), "unknown")
    return f"{said} ({told['note']})" if told["note"] else said

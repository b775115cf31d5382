"""What there is to say of a benchmark before any picture is read."""

from clip.benchmarks import Baselines, Benchmark, Exposure, leaks, named


class Overview(Benchmark):
    """A benchmark, who has learnt from it, and what answers that see no picture score on it."""

    leaks: dict[str, Exposure]
    without_pictures: Baselines

    def text(self) -> str:
        """For a terminal."""
        classes = self.classes or {}
        sizes = ", ".join(f"{key} {each.n or '?'}" for key, each in classes.items())
        rows = [
            ("what", self.title),
            ("cite", self.citation),
            ("licence", self.licence or "not stated"),
            ("get it", self.get or "not public"),
            ("protocol", self.protocol),
            ("pictures", f"{self.n or 'unknown'} ({self.counted})"),
            ("classes", sizes or "not published"),
            ("prompts", ", ".join(self.prompts) or "--prompts FILE.yaml"),
        ]
        lines = [f"{key:10}{value}" for key, value in rows]
        for row, values in self.without_pictures.items():
            lines.append(f"{row:10}" + "  ".join(f"{key} {value:.3f}" for key, value in values.items()))
        lines += [
            f"{'learnt by' if not i else '':10}{who}: {leak(each)}"
            for i, (who, each) in enumerate(self.leaks.items())
        ]
        return "\n".join(lines)


def about(name: str) -> Overview:
    """All that is known of a benchmark.

    Raises:
        UserError: no such benchmark.
    """
    benchmark = named(name)
    more = dict(leaks=leaks(name), without_pictures=baselines(name))
    return Overview.model_validate(benchmark.model_dump(by_alias=True) | more)


def baselines(name: str) -> Baselines:
    """What the largest class and a fair die score, from the published class counts alone; empty where there are none."""
    import numpy as np

    from clip import prompts
    from clip.evaluation import core

    benchmark = named(name)
    sizes = [held.n for held in (benchmark.classes or {}).values()]
    if not sizes or None in sizes:
        return {}
    task = next(iter(prompts.tasks(benchmark.prompts[0]).values()))
    return core.baselines(np.array(sizes), task.ordinal)


def leak(exposure: Exposure) -> str:
    """One line of the ledger in words."""
    words = {
        (True, True): "pictures and labels",
        (True, False): "pictures, not labels",
        (True, None): "pictures, labels in part",
        (False, False): "no",
    }
    line = words.get((exposure.images, exposure.labels), "unknown")
    return f"{line} ({exposure.note})" if exposure.note else line

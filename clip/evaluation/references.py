"""What others published, beside a result of ours on the same benchmark, and in what their protocol differs from it."""

from collections.abc import Iterator

from clip import baselines
from clip.baselines import Published
from clip.benchmarks import BenchmarkSummary
from clip.evaluation.results import PublishedFigure, Result


def beside(benchmark: BenchmarkSummary | None, result: Result) -> list[PublishedFigure]:
    """The figures on a result's benchmark; none without a benchmark, and none in a metric that the result has not."""
    if benchmark is None:
        return []
    measured = {key for metrics in result.metrics.values() for key in metrics}
    return [
        PublishedFigure(
            **each.model_dump(include={"model", "metric", "value", "n", "protocol", "source", "inferred"}),
            differs=list(differences(each, benchmark, result)),
        )
        for each in baselines.on(benchmark.name)
        if each.metric in measured
    ]


def differences(figure: Published, benchmark: BenchmarkSummary, result: Result) -> Iterator[str]:
    """In what a figure is of another protocol than a result, a phrase for each; wording and preprocessing stand in `protocol`."""
    if figure.task != result.task:
        yield f"{figure.task}, ours {result.task}"
    if figure.sets is not None:
        yield f"a mean over {figure.sets} sets, ours is one"
    elif figure.n is None:
        yield "how many photographs is not told"
    elif figure.n != result.n:
        yield f"{figure.n} photographs, ours {result.n}"
    if figure.classes is not None and figure.classes != len(result.classes):
        yield f"{figure.classes} classes, ours {len(result.classes)}"
    if benchmark.differs:
        yield "ours is not the set as published"
    if figure.inferred:
        yield "the metric is inferred"

"""Where dots and whiskers go."""

from typing import Any

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "mae": "MAE (years)",
    "r2": "R²",
    "bits": "codelength (bits per patient)",
}


def number(value: float | None) -> str:
    """Three decimals; a dash for what is not known."""
    return "–" if value is None else f"{value:.3f}"


def chart(rows: list[dict[str, Any]], metric: str, width: int = 330) -> dict[str, Any]:
    """Where dots and whiskers of one metric go on a picture `width` pixels wide; `low` and `high` are its ends."""
    shown = [(row["name"], row["person"][metric]) for row in rows if metric in row["person"]]
    ends = [end for _, each in shown for end in (each["low"], each["high"], each["value"]) if end is not None]
    low, high = (min([0.45, *ends]), 1.0) if metric == "auc" else (min(ends), max(ends))
    return {
        "low": low,
        "high": high,
        "rows": [(name, _place(each, low, high, width)) for name, each in shown],
    }


def curve(points: list[dict[str, Any]], width: int = 330) -> dict[str, Any]:
    """The learning curve as a chart whose rows are numbers of training patients."""
    rows = [
        {"name": f"{p['training_patients']:,} patients", "person": {"curve": p["person"]}} for p in points
    ]
    return chart(rows, "curve", width)


def _place(estimate: dict[str, Any], low: float, high: float, width: int) -> dict[str, float]:
    scale = width / (high - low) if high > low else 0.0
    middle = estimate["value"]
    ends = {key: middle if estimate[key] is None else estimate[key] for key in ("low", "high")}
    return {key: round((value - low) * scale, 1) for key, value in {"value": middle, **ends}.items()}


def forest(results: list[dict[str, Any]], scale: str, width: int = 330) -> dict[str, Any]:
    """All results on one scale as a chart, with the places of chance and margin."""
    shown = [each for each in results if each["estimate"] and each["statistic"]["name"] == scale]
    statistic = shown[0]["statistic"]
    fixed = {key: statistic[key] for key in ("chance", "margin") if statistic[key] is not None}
    ends = [
        each["estimate"][key]
        for each in shown
        for key in ("low", "high")
        if each["estimate"][key] is not None
    ]
    low, high = min(*fixed.values(), *ends), max(*fixed.values(), *ends)
    room = (high - low) * width and width / (high - low)
    return {
        "low": low,
        "high": high,
        "marks": {key: round((value - low) * room, 1) for key, value in fixed.items()},
        "rows": [
            (f"{each['threat']} {each['attack']}", _place(each["estimate"], low, high, width))
            for each in shown
        ],
    }

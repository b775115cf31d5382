"""The card of a folder of records: what `load_dataset` reads to find the splits, and what people read first."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from synth.base.hub import repository_card
from synth.base.runs import write_text


def write_card(
    folder: Path,
    title: str,
    body: str,
    counts: Mapping[str, int],
    licence: str,
    tags: Sequence[str] = (),
    suffix: str = "parquet",
    more: Mapping[str, str | list[str]] = {},
) -> None:
    """Write `folder/README.md`: YAML front matter for Hugging Face, then `body` (Markdown).

    Args:
        counts: rows per split.
        suffix: of the shards, `parquet` or `tar`.
        more:   further front matter, such as the name and link of a licence that Hugging Face does not list.
    """
    total = sum(counts.values())
    sizes = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")]
    front = {
        "pretty_name": title,
        "license": licence,
        **more,
        "language": ["zh", "en"],
        "multilinguality": ["multilingual"],
        "task_categories": ["zero-shot-image-classification", "text-to-image"],
        "size_categories": [next((name for limit, name in sizes if total < limit), "1M<n<10M")],
        "tags": ["medical", "ophthalmology", "fundus", *tags],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.{suffix}"} for split, n in counts.items() if n
                ],
            }
        ],
    }
    table = "\n".join(f"| {split} | {n} |" for split, n in counts.items())
    text = f"\n# {title}\n\n{body.strip()}\n\n## Splits\n| split | rows |\n|---|---|\n{table}\n"
    write_text(folder / "README.md", repository_card("dataset", front, text))

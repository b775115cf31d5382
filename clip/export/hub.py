"""Push an encoder to the Hugging Face Hub: what `clip export --to hf` writes, the checkpoint itself, and a card.

`--model hub:NAME/REPO` takes it from there (`clip.loading`), transformers and timm open the rest.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from clip.model import checkpoints
from clip.model.checkpoints import Header
from clip.model.encoders import CLIP
from synth.base.errors import UserError
from synth.base.hub import CHECKLIST, check_hub, check_repo, repository_card, upload
from synth.base.runs import write_text
from synth.base.scratch import scratch

_CARD = """
# visionclip encoder

Puts photographs of the back of the eye and Chinese or English findings into one space: {image} at {size} pixels and a
BERT of {layers} layers, trained by `clip` of visionclip.

**For research.  Not a medical device: none of its numbers may guide anybody's care.**

```
clip predict photo.jpg --model hub:{repo}
clip eval --model hub:{repo} --data records --out report
```

Without visionclip: {opens}.  `visionclip.json` has preprocessing ({preprocessing}), mean, standard deviation, tokenizer
and temperature.

## Licence
{licence}.  Whose photographs it learnt from the checkpoint does not say; their licences may ask for more.

## What it is
- {parameters:,} parameters; {images} pairs seen in training; fingerprint of the training data: {data}
- embeddings of {embedding} numbers, of {context} tokens at most

<details><summary>Settings of the training</summary>

```yaml
{config}
```
</details>

## Limits
- It knows the cameras, the people and the words that it learnt from.  Judge it on your own set with `clip eval`, and ask
  `clip benchmarks` which public sets others have learnt from.
- What it may tell of single people whose photographs it saw is a question that `privacy audit` measures.
- {checklist}
"""
_OPENS = {
    "ChineseCLIPModel": "`transformers.ChineseCLIPModel.from_pretrained` opens this repository",
    "folder of parts": "`text/` is a `transformers.BertModel`, `image/` a timm network, `projection.safetensors` the rest",
}
_LIBRARIES = {"ChineseCLIPModel": "transformers", "folder of parts": "visionclip"}
"""Form of the export -> the library that opens it, as the Hub calls it."""


def push(path: Path, repo: str, licence: str, private: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Export a checkpoint of ours, check it against itself, and upload it; the same call again sends only what is not there.

    Args:
        path:    a ckpt.pt of `clip train`.
        repo:    NAME/REPO on the hub at HF_ENDPOINT, with the token of HF_TOKEN or `hf auth login`.
        licence: a name such as cc-by-nc-4.0, or one line of terms.
        dry_run: export, check and list, but send nothing.

    Raises:
        UserError: no checkpoint, its export computes something else, two lines of licence, or the hub refuses.
    """
    from clip.export.huggingface import to_huggingface

    check_repo(repo)
    if not licence.strip() or "\n" in licence:
        raise UserError(f"--licence {licence!r}: must be one line, such as cc-by-nc-4.0, or your own terms")
    model, head = checkpoints.load(path)
    if not dry_run:
        check_hub()
    with scratch(repo) as folder:
        kind, difference = to_huggingface(path, folder)
        shutil.copyfile(path, folder / checkpoints.FILE)
        write_text(folder / "README.md", card(model, head, repo, licence.strip(), kind))
        paths = sorted(each for each in folder.rglob("*") if each.is_file())
        files = [str(each.relative_to(folder)) for each in paths]
        result = {"repo": repo, "type": "model", "licence": licence.strip(), "private": private}
        result |= {"export": kind, "largest_difference": difference}
        if dry_run:
            return result | {"files": files, "bytes": sum(each.stat().st_size for each in paths)}
        return result | {
            "files": len(files),
            "commit": upload(folder, repo, "model", private, files, "clip push"),
        }


def card(model: CLIP, head: Header, repo: str, licence: str, kind: str) -> str:
    """The README of a repository: front matter that the hub reads, and what a user needs to know."""
    config = model.config
    front = {
        **terms(licence),
        "language": ["zh", "en"],
        "library_name": _LIBRARIES[kind],
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["medical", "ophthalmology", "fundus", "clip", "visionclip"],
    }
    told = yaml.safe_dump(head.config, sort_keys=False, allow_unicode=True).strip()
    body = _CARD.format(
        image=config.image.name,
        size=config.preprocessing.size,
        layers=config.text.layers,
        repo=repo,
        opens=_OPENS[kind],
        checklist=CHECKLIST,
        preprocessing=f"{config.preprocessing.name}, version {config.preprocessing.version}",
        licence=licence,
        parameters=sum(each.numel() for each in model.parameters()),
        images="an unknown number of" if head.images is None else f"{head.images:,}",
        data=head.data or "unknown",
        embedding=config.embedding,
        context=config.context,
        config=told if head.config else "unknown",
    )
    return repository_card("model", front, body)


def terms(licence: str) -> dict[str, str]:
    """A licence as the front matter of a card names it: an identifier of the hub's, or `other` with a name."""
    if re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", licence):
        return {"license": licence}
    name = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"https?://\S+", "", licence).lower()).strip("-.")
    link = re.search(r"https?://\S+", licence)
    found = {"license": "other", "license_name": name[:64] or "own-terms"}
    return found | ({"license_link": link[0]} if link else {})

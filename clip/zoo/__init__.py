"""Other people's models from their own files, each with its own preprocessing, tokenizer, pooling and prompts."""

from pathlib import Path

from clip.zoo.foreign import Foreign
from synth.base import pretrained
from synth.base.errors import UserError

KINDS = ("open_clip", "hf-hub", "flair", "cn_clip", "eyeclip", "retfound", "visionfm", "hf")


def split(spec: str | Path) -> tuple[str, str, str] | None:
    """`KIND:SOURCE` or `KIND:SOURCE=MORE` as its three parts; None for a checkpoint of ours, which is a plain path."""
    kind, colon, rest = str(spec).partition(":")
    if not colon or kind not in KINDS or Path(spec).exists():
        return None
    source, _, more = rest.partition("=")
    return kind, source, more


def is_elsewhere(spec: str) -> bool:
    """Whether loading would fetch: a hub's repository, or a tag of open_clip in place of a file of weights."""
    if Path(spec).exists() or spec.startswith("hub:"):
        return not Path(spec).exists()
    kind, source, more = split(spec) or ("", spec, "")
    here = kind in ("", "open_clip") or (Path(source).exists() and (kind != "flair" or bool(more)))
    return kind == "hf-hub" or not here or bool(more and not Path(more).exists())


def load(spec: str | Path) -> Foreign:
    """Somebody else's model in evaluation mode, on the CPU.

        open_clip:ViT-B-32-quickgelu=FILE     architecture of open_clip and a file of weights, or a tag
        open_clip:FOLDER, hf-hub:ORG/NAME     with open_clip_config.json, as BiomedCLIP comes
        flair:FILE=FOLDER                     FLAIR's weights, and its tokenizer (Bio_ClinicalBERT)
        cn_clip:FILE                          any tower of Chinese-CLIP; the weights tell which
        eyeclip:FILE                          EyeCLIP
        retfound:FILE                         RETFound (MAE or DINOv2), image only
        visionfm:FILE                         VisionFM's encoder of fundus photographs, image only
        hf:FOLDER                             transformers' ChineseCLIPModel, as OFA-Sys has it on the hub, or
                                              SiglipModel: SigLIP, SigLIP-2 of fixed resolution, MedSigLIP

    In place of FILE, ORG/NAME of a hub repository.

    Raises:
        UserError: no such file, or not what its prefix says.
    """
    parts = split(spec)
    if parts is None or not parts[1]:
        raise UserError(f"{spec}: write it as KIND:FILE; kinds: {', '.join(KINDS)}")
    try:
        return _load(str(spec), *parts)
    except UserError:
        raise
    except pretrained.errors() as error:  # tensors by the right names, and of no shape that the tower has
        raise UserError(
            f"{spec}: cannot be opened ({pretrained.reason(error)}); is it a file of {parts[0]}? fetch it again"
        ) from None


def _load(spec: str, kind: str, source: str, more: str) -> Foreign:
    from clip.zoo import chinese_clip, eyeclip, flair, hf, openclip, retfound, visionfm

    if kind in ("open_clip", "hf-hub"):
        return openclip.load(source if kind == "open_clip" else f"hf-hub:{source}", more).eval()
    if kind == "flair":
        return flair.load(source, more).eval()
    if more:
        raise UserError(f"{spec}: {kind} takes no '={more}'; write {kind}:{source}")
    loaders = {
        "cn_clip": chinese_clip.load,
        "eyeclip": eyeclip.load,
        "retfound": retfound.load,
        "visionfm": visionfm.load,
        "hf": hf.load,
    }
    return loaders[kind](source).eval()

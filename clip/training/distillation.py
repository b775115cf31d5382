"""Distillation: a student that learns, too, how near a teacher holds each picture of a batch to each text.

The teacher is frozen and sees what the student sees: the same photographs with the same changes, brought to its own size
and colour scale (its own crop is not made anew), and the same captions through its own tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, normalize

from clip import embed, loading, zoo
from clip.inputs.sets import Data
from clip.model.checkpoints import Header, weights_fingerprint
from clip.model.encoders import CLIP, standardise
from clip.training import batches
from clip.zoo.foreign import Foreign
from synth.base import runs
from synth.base.errors import UserError


class Teacher:
    """A CLIP that learns nothing, ours or another's, and what it has read."""

    def __init__(self, spec: str, place: torch.device) -> None:
        """Load what `clip.loading.load` takes, from files of this machine alone.

        Raises:
            UserError: it is not here, cannot be loaded, or has no text tower.
        """
        if zoo.is_elsewhere(spec):
            raise UserError(
                f"teacher={spec}: not on this machine, and a config sends nobody to a hub; fetch it with "
                "'hf download' and name its file"
            )
        model, head = loading.load(spec)
        if isinstance(model, Foreign) and model.reader is None:
            raise UserError(
                f"teacher={spec}: {model.config.kind} has no text tower, so it holds no picture near a text; "
                "give a CLIP, or start from its weights with initial.image"
            )
        file = head.sha256 if "sha256" in head.model_fields_set else runs.sha256(Path(spec))
        self.fingerprint = file or weights_fingerprint(model)
        """sha256 of its file; of its weights, where they come from a hub under a name."""
        self._spec, self._languages = spec, _languages(model, head)
        self._model = model.requires_grad_(False).to(memory_format=torch.channels_last).to(place)
        self._scale = self._model.logit_scale.exp()
        self._text_features = torch.zeros(0, model.config.embedding, device=place)

    def encode_captions(self, data: Data, caption: batches.Language, pairs: batches.Pairs) -> batches.Pairs:
        """Read, once and for all, the captions of split train; returns its pairs with the numbers of what was read.

        It reads the student's captions if it knows their language, else what the same photographs have in its own.

        Raises:
            UserError: some have no caption in its language.
        """
        wanted = {"zh", "en"} if caption == "both" else {caption}
        language = caption if wanted <= {*self._languages} else self._languages[0]
        captions = batches.caption_table(data, "train", language)
        mute = np.setdiff1d(pairs.rows, captions.rows)
        if len(mute):
            raise UserError(
                f"{data}: {len(mute)} of {len(pairs.rows)} pictures of split train have no caption_{language}, the "
                f"language of teacher={self._spec}; caption them, or choose a teacher that reads caption={caption}"
            )
        self._text_features = torch.from_numpy(embed.texts(self._model, captions.texts)).to(
            self._text_features.device
        )
        numbers = captions.caption[np.searchsorted(captions.rows, pairs.rows)]
        return pairs._replace(teacher_captions=np.broadcast_to(numbers, pairs.caption.shape))

    @torch.no_grad()
    def encode_images(self, pictures: Tensor) -> Tensor:
        """(B, D) of unit length from (B, 3, S, S) pictures in [0, 1]."""
        size = self._model.config.preprocessing.size
        if pictures.shape[2] != size:
            pictures = interpolate(pictures, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return normalize(self._model.encode_image(standardise(pictures)).float(), dim=-1)

    def logits(self, image_features: Tensor, teacher_captions: Tensor) -> Tensor:
        """(B, B) what `relations` takes, of (B, D) embeddings of pictures and (B,) numbers of what was read."""
        return self._scale * image_features @ self._text_features[teacher_captions].T


def relations(image_features: Tensor, text_features: Tensor, scale: Tensor, teacher_logits: Tensor) -> Tensor:
    """How far the student's choice among the texts of a batch, and among its pictures, is from the teacher's.

        L = (CE(s v t', softmax(T)) + CE(s t v', softmax(T'))) / 2

    open_clip's `DistillClipLoss.dist_loss`; less the entropy of the teacher, which no student changes, it is the
    contrastive relational distillation of CLIP-KD (Yang et al. 2023, 2307.12732).

    Args:
        image_features: (B, D) image embeddings v of unit length.
        text_features:  (B, D) text embeddings t of unit length; row i belongs to picture i.
        scale:  the factor s of their products.
        teacher_logits: (B, B) the teacher's products T of pictures and texts, by its own factor.
    """
    logits = scale * image_features @ text_features.T
    return (
        cross_entropy(logits, teacher_logits.softmax(dim=1))
        + cross_entropy(logits.T, teacher_logits.T.softmax(dim=1))
    ) / 2


def _languages(model: CLIP, head: Header) -> Sequence[Literal["zh", "en"]]:
    """Those in which a model learnt to read; a file of ours from elsewhere does not tell."""
    if isinstance(model, Foreign):
        return model.config.languages
    caption = (head.config or {}).get("caption")
    return (caption,) if caption in ("zh", "en") else ("zh", "en")

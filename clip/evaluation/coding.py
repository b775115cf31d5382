"""What the numbers in a mask mean, and masks read by it."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, NonNegativeInt, model_validator

from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError
from synth.data import formats
from synth.data.refusal import too_large

NAMES = "classes.yaml"
"""The file beside masks that says it: settings of `Coding`."""

Shape = tuple[int, int]
"""Height and width."""


class Coding(Config):
    """What the numbers of masks mean."""

    classes: dict[str, NonNegativeInt] = Field(min_length=1, max_length=255)
    """Name -> number."""
    background: NonNegativeInt = 0
    """The number of what is of no class."""
    nested: bool = False
    """Each class holds those after it, as the disc holds the cup: it is measured with them."""

    @model_validator(mode="before")
    @classmethod
    def listed(cls, values: Any) -> Any:
        names = values.get("classes") if isinstance(values, dict) else None
        if isinstance(names, list | tuple):
            return values | {"classes": {str(name): number for number, name in enumerate(names, 1)}}
        return values

    @model_validator(mode="after")
    def numbers_differ(self) -> Self:
        numbers = [self.background, *self.classes.values()]
        if len(set(numbers)) < len(numbers) or max(numbers) > 65_535:
            raise ValueError(
                f"classes={self.classes}, background={self.background}: numbers must differ, and be below 65536"
            )
        return self

    def regions(self, places: np.ndarray) -> np.ndarray:
        """(K, ...) bool: where each class is, of (...) places among the classes, 0 for background."""
        numbers = range(1, len(self.classes) + 1)
        return np.stack([places >= number if self.nested else places == number for number in numbers])

    def read(self, path: Path, shape: Shape) -> np.ndarray:
        """(H, W) uint8: the place of each pixel's class among the classes, from 1; 0 for background.

        Raises:
            UserError: no mask, of another size than `shape` (H, W), or with a number that means nothing.
        """
        try:
            with formats.opened(path.read_bytes()) as image:
                if image.width * image.height > formats.LARGEST:
                    raise too_large(str(path), image.width, image.height, formats.LARGEST)
                if image.mode not in ("1", "L", "P", "I", "I;16"):
                    raise UserError(
                        f"{path}: a colour picture ({image.mode}); a mask holds one number per pixel"
                    )
                numbers = np.asarray(image).astype(np.int64)
        except formats.ERRORS as error:
            raise UserError(f"{path}: no mask that can be read ({error}); replace it") from None
        if numbers.shape != shape:
            sizes = [f"{wide} x {high}" for high, wide in (numbers.shape, shape)]
            raise UserError(
                f"{path}: {sizes[0]} pixels, its photograph has {sizes[1]}; a mask lies on it pixel by pixel"
            )
        known = [self.background, *self.classes.values()]
        if strange := sorted(set(np.unique(numbers).tolist()) - set(known)):
            told = ", ".join(f"{number} {name}" for name, number in self.classes.items())
            raise UserError(
                f"{path}: {strange[0]} is the number of no class; known: {self.background} background, {told}; "
                f"name it in {NAMES} or with --set classes='{{NAME: {strange[0]}}}'"
            )
        place = np.zeros(max(known) + 1, np.uint8)
        place[known] = range(len(known))
        return place[numbers]


def of(folder: Path, given: dict[str, Any]) -> Coding:
    """What the numbers in a folder of masks mean: its `classes.yaml`, and `given` settings over it.

    Raises:
        UserError: no such folder, or nobody says what the numbers mean.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder of masks; put NAME.png for each photograph there, or --set masks=DIR"
        )
    path = folder / NAMES
    values = (read_yaml(path) if path.exists() else {}) | given
    if "classes" not in values:
        raise UserError(
            f"{path}: no such file; name the classes with --set 'classes=[disc, cup]' for 1 and 2"
        )
    return check(Coding, values, str(path) if path.exists() else "--set")

"""Traces of a camera and of an export: what tells photographs apart by how they were taken and saved, not by whose eye they show.

Sensor noise, sharpness, compression and tone curves are too fine for colours and thumbnails (`privacy.scores.pixels`), and
a generator sees them all: of two cameras it says what it would say of members and non-members.  Residuals are those of
forensics (Immerkaer 1996, doi:10.1006/cviu.1996.0060, for noise; Fan and de Queiroz 2003, doi:10.1109/TIP.2002.807361, for the
grid of JPEG).
"""

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import binary_erosion, convolve, uniform_filter

_LUMA = np.array([0.299, 0.587, 0.114])
_DARK = 0.08, 5.0  # of the brightest pixel, and grey levels: what is no brighter is surround
_BLOCK = 8
_FLOOR = 0.05  # grey levels: rounding to 8 bits alone leaves more
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6.0
_SHARPNESS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
_LEVELS = 0.1, 0.9  # quantiles between which every grey level should occur


def features(photographs: np.ndarray) -> np.ndarray:
    """(N, k) of (N, S, S, 3) uint8 photographs as a model sees them; S is 8 at least.

    Logarithms of noise and sharpness, how noise hangs together between channels, the 63 frequencies of 8 x 8 blocks of luminance
    and their mean in chrominance, steps across each column and row of that grid, empty grey levels, of each channel the turns
    of brightness from pixel to pixel, which blurring takes away and noise adds, how large the field is and how black its surround.
    """
    return np.stack([_traces(photograph.astype(float)) for photograph in photographs])


def _traces(photograph: np.ndarray) -> np.ndarray:
    inside = _inside(photograph)
    light = photograph @ _LUMA
    colours = photograph[..., 0] - light, photograph[..., 2] - light
    residuals = [_filtered(channel, _NOISE)[inside] for channel in np.moveaxis(photograph, -1, 0)]
    sharpness = [_level(_filtered(channel, _SHARPNESS)[inside]) for channel in (light, *colours)]
    frequencies = _frequencies(light, inside)
    return np.array(
        [
            *map(_level, residuals),
            *sharpness,
            *(_together(residuals[one], residuals[other]) for one, other in ((0, 1), (1, 2), (0, 2))),
            *np.log(frequencies.ravel()[1:]),
            *(np.log(_frequencies(each, inside).ravel()[1:]).mean() for each in colours),
            *_grid(light, inside),
            *_grid(light.T, inside.T),
            *(_empty(channel[inside]) for channel in np.moveaxis(photograph, -1, 0)),
            *(
                number
                for channel in (light, *np.moveaxis(photograph, -1, 0))
                for number in _turns(channel, inside)
            ),
            *_surround(photograph),
        ]
    )


def _inside(photograph: np.ndarray) -> np.ndarray:
    """(S, S) bool: the field of view without its rim; all where that leaves nothing."""
    field = binary_erosion(_bright(photograph), iterations=2)
    return field if field.sum() >= _BLOCK**2 else np.ones_like(field)


def _bright(photograph: np.ndarray) -> np.ndarray:
    brightest, (share, least) = photograph.max(axis=-1), _DARK
    return brightest > max(share * brightest.max(), least)


def _surround(photograph: np.ndarray) -> list[float]:
    """Share of the picture that the field is; mean grey level of each channel outside of it, and how much these vary, 0 without."""
    bright = _bright(photograph)
    outside = photograph[np.array(binary_erosion(~bright, iterations=2, border_value=1), bool)]
    levels = [*outside.mean(axis=0), float(outside.std(axis=0).mean())] if len(outside) else [0.0] * 4
    return [float(bright.mean()), *levels]


def _filtered(channel: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return convolve(channel, kernel, mode="nearest")


def _level(values: np.ndarray) -> float:
    """Logarithm of the mean magnitude, in grey levels."""
    return float(np.log(np.abs(values).mean() + _FLOOR))


def _together(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two residuals: near 0 of a sensor's noise, near 1 of structure and of grey pictures."""
    spread = float(np.sqrt((one**2).mean() * (other**2).mean()))
    return float((one * other).mean()) / (spread + _FLOOR**2)


def _frequencies(channel: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(8, 8) mean magnitude of each frequency over the blocks of the grid that lie within the field."""
    rows, columns = (size // _BLOCK for size in channel.shape)
    cut = slice(rows * _BLOCK), slice(columns * _BLOCK)
    blocks = channel[cut].reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)
    whole = inside[cut].reshape(rows, _BLOCK, columns, _BLOCK).all(axis=(1, 3)).ravel()
    chosen = blocks[whole] if whole.any() else blocks
    return np.abs(np.asarray(dctn(chosen, axes=(1, 2), norm="ortho"))).mean(axis=0) + _FLOOR


def _grid(channel: np.ndarray, inside: np.ndarray) -> list[float]:
    """How large steps between columns are at each place of a grid of eight, against all of them."""
    steps = np.abs(np.diff(channel - uniform_filter(channel, 3), axis=1))
    weight = inside[:, 1:] & inside[:, :-1]
    total = (steps * weight).sum() / max(weight.sum(), 1) + _FLOOR
    means = [
        (steps[:, place::_BLOCK] * weight[:, place::_BLOCK]).sum() / max(weight[:, place::_BLOCK].sum(), 1)
        for place in range(_BLOCK)
    ]
    return [float(np.log((mean + _FLOOR) / total)) for mean in means]


def _empty(values: np.ndarray) -> float:
    """Share of grey levels in the middle of a channel's range that no pixel has, as after a change of gamma."""
    low, high = np.quantile(values, _LEVELS)
    middle = values[(values >= low) & (values <= high)]
    return 1 - len(np.unique(middle)) / (high - low + 1)


def _turns(channel: np.ndarray, inside: np.ndarray) -> list[float]:
    """Share of pixels at which brightness turns, across and down; of equal neighbours; and how steep finer steps are than coarser ones."""
    across, down = (np.diff(channel, axis=axis, append=0) for axis in (1, 0))
    turning = [
        float((steps * np.roll(steps, 1, axis) < 0)[inside].mean())
        for axis, steps in ((1, across), (0, down))
    ]
    equal = float(((across == 0)[inside].mean() + (down == 0)[inside].mean()) / 2)
    coarse = _level((channel - np.roll(channel, 2, 1))[inside])
    step, bend, noise = (
        _level(each[inside]) for each in (across, _filtered(channel, _SHARPNESS), _filtered(channel, _NOISE))
    )
    return [*turning, equal, bend - step, noise - bend, step - coarse]

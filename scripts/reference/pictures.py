"""From the planes of a decoded picture to a detector's input."""

import math
from dataclasses import dataclass

import numpy as np

# Luma weights of red and blue (ITU-R BT.601, BT.709, BT.2020).
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


@dataclass
class Picture:
    """Three planes of 8-bit samples, Y, Cb and Cr, the last two of any smaller size."""

    planes: list
    matrix: str
    full_range: bool

    @property
    def width(self):
        return self.planes[0].shape[1]

    @property
    def height(self):
        return self.planes[0].shape[0]


@dataclass
class Preprocess:
    """What a model takes: a value is (pixel * scale - mean) / std, pixel 0-255, channels in `order`."""

    width: int
    height: int
    order: str  # RGB or BGR
    scale: float
    mean: tuple
    std: tuple
    fit: str  # Center, TopLeft or None


PADDING = 114.0


def place(preprocess, width, height):
    """Where a picture of `width` x `height` lies in the input: x, y, width, height."""
    if preprocess.fit == "None":
        return 0, 0, preprocess.width, preprocess.height
    ratio = min(preprocess.width / width, preprocess.height / height)
    # Halves are rounded up, not to even.
    fitted_width = min(max(math.floor(width * ratio + 0.5), 1), preprocess.width)
    fitted_height = min(max(math.floor(height * ratio + 0.5), 1), preprocess.height)
    if preprocess.fit == "TopLeft":
        return 0, 0, fitted_width, fitted_height
    return (preprocess.width - fitted_width) // 2, (preprocess.height - fitted_height) // 2, fitted_width, fitted_height


def resize(plane, width, height):
    """Bilinear, half-pixel centres, edges repeated."""

    def positions(size, target):
        centre = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        low = np.floor(centre).astype(int)
        return low, np.minimum(low + 1, size - 1), centre - low

    plane = plane.astype(np.float64)
    top, bottom, down = positions(plane.shape[0], height)
    left, right, across = positions(plane.shape[1], width)
    rows = plane[top] * (1 - down)[:, None] + plane[bottom] * down[:, None]
    return rows[:, left] * (1 - across) + rows[:, right] * across


def to_rgb(y, cb, cr, matrix, full_range):
    """Planes of one size -> red, green, blue, 0-255."""
    kr, kb = WEIGHTS[matrix]
    if full_range:
        luma, chroma_scale = y, 1.0
    else:
        luma, chroma_scale = (y - 16.0) * 255.0 / 219.0, 255.0 / 224.0
    cb, cr = (cb - 128.0) * chroma_scale, (cr - 128.0) * chroma_scale
    red = luma + 2 * (1 - kr) * cr
    blue = luma + 2 * (1 - kb) * cb
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue]), 0.0, 255.0)


def to_input(picture, preprocess):
    """The input tensor (1 x 3 x height x width) and the picture's place in it."""
    x, y, width, height = place(preprocess, picture.width, picture.height)
    planes = [resize(plane, width, height) for plane in picture.planes]
    colours = to_rgb(*planes, picture.matrix, picture.full_range)
    canvas = np.full((3, preprocess.height, preprocess.width), PADDING)
    canvas[:, y : y + height, x : x + width] = colours
    if preprocess.order == "BGR":
        canvas = canvas[::-1]
    mean, std = (np.array(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
    return ((canvas * preprocess.scale - mean) / std)[None], (x, y, width, height)

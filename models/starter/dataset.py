"""Pictures and labels that `render_dataset` wrote, and what may happen to a picture between lens and detector."""

import math
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import CLASSES, HEIGHT, WIDTH

PAD = 114 / 255
MAX_OBJECTS = 96
DOG = CLASSES.index("dog")
# An object counts in training from this visible share and these sides in input pixels; what counts for less is neither
# object nor background.
MIN_VISIBLE, MIN_WIDTH, MIN_HEIGHT = 0.3, 2.5, 6.0
# Below this visible share what one sees is whatever hides the object.
HIDDEN = 0.08

# Luminance quantisation of ITU-T T.81, annex K.1.
LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)


def read_labels(path, pictures):
    """Objects of each picture: class, left, top, right, bottom in pixels, visible share. Unused rows have class -1."""
    rows = np.loadtxt(path, np.float32, delimiter=",", skiprows=1, ndmin=2)
    rows = rows[rows[:, 6] > HIDDEN]
    picture = rows[:, 0].astype(int)
    place = np.arange(len(rows)) - np.searchsorted(picture, picture)
    rows, picture, place = rows[place < MAX_OBJECTS], picture[place < MAX_OBJECTS], place[place < MAX_OBJECTS]
    labels = np.zeros((pictures, MAX_OBJECTS, 6), np.float32)
    labels[..., 0] = -1
    kind, x, y, w, h, visible = rows[:, 1:].T
    labels[picture, place] = np.stack((kind, x, y, x + w, y + h, visible), 1)
    return labels


def read_shard(prefix, width, height):
    pictures = np.fromfile(f"{prefix}.i420", np.uint8).reshape(-1, height * 3 // 2, width)
    return pictures, read_labels(f"{prefix}.csv", len(pictures))


def load(folder, device, part=0, parts=1):
    """Shards `NAME_WIDTHxHEIGHT.i420` of a folder, as one (pictures, labels) pair of tensors for each size. Of `parts`
    processes each takes every so many-th shard of a size."""
    sizes = {}
    for path in sorted(Path(folder).glob("*.i420")):
        width, height = map(int, re.search(r"_(\d+)x(\d+)$", path.stem).groups())
        sizes.setdefault((width, height), []).append(path.with_suffix(""))
    loaded = []
    for (width, height), prefixes in sizes.items():
        if len(prefixes) < parts:
            raise SystemExit(f"{folder}: {parts} processes need as many files of {width}x{height}, not {len(prefixes)}")
        shards = [read_shard(prefix, width, height) for prefix in prefixes[part::parts]]
        pictures = torch.cat([torch.from_numpy(pictures).to(device) for pictures, _ in shards])
        labels = torch.from_numpy(np.concatenate([labels for _, labels in shards])).to(device)
        loaded.append((pictures, labels))
    return loaded


def appeal(pictures, labels):
    """How often a picture is shown: more often if there are dogs in it, which are small, hidden, and soon forgotten."""
    height = pictures.shape[1] * 2 / 3
    dogs = (labels[..., 0] == DOG) & (labels[..., 5] >= 0.5) & (labels[..., 4] - labels[..., 2] >= 0.035 * height)
    return 1 + 0.5 * dogs.sum(1).clamp(max=4).double()


def split_planes(pictures):
    """Luma (batch x 1 x h x w) and chroma (batch x 2 x h/2 x w/2) as floats of 0-255."""
    batch, rows, width = pictures.shape
    height = rows * 2 // 3
    luma = pictures[:, :height].float()[:, None]
    chroma = pictures[:, height:].reshape(batch, 2, height // 2, width // 2).float()
    return luma, chroma


def to_rgb(yuv):
    """BT.709 limited range to RGB of 0-1."""
    y = (yuv[:, 0] - 16) / 219
    u, v = (yuv[:, 1] - 128) / 224, (yuv[:, 2] - 128) / 224
    red, blue = y + 1.5748 * v, y + 1.8556 * u
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return torch.stack((red, green, blue), 1).clamp(0, 1)


def cosine_basis(size, device):
    index = torch.arange(size, dtype=torch.float32, device=device)
    basis = torch.cos((2 * index[None] + 1) * index[:, None] * math.pi / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def quantise(plane, step, size):
    """Loses what a block-transform coder would at these quantiser steps (batch x size x size)."""
    batch, channels, height, width = plane.shape
    basis = cosine_basis(size, plane.device)
    # Rows are the coefficients of a block, columns its pixels.
    basis = torch.kron(basis, basis)
    blocks = F.pixel_unshuffle(plane - 128, size).reshape(batch, channels, size * size, -1)
    step = step.reshape(batch, 1, size * size, 1)
    coefficients = basis @ blocks
    # A dead zone of two thirds of a step, as video coders have it.
    levels = torch.sign(coefficients) * torch.floor(coefficients.abs() / step + 1 / 3)
    blocks = basis.T @ (levels * step)
    blocks = blocks.reshape(batch, channels * size * size, height // size, width // size)
    return (F.pixel_shuffle(blocks, size) + 128).clamp(0, 255)


class Augment:
    """Draws what a camera, a coder and a crop do to a batch, from the device's own random numbers; labels follow."""

    def __init__(self, device):
        self.device = device

    def uniform(self, batch, low, high):
        return torch.rand(batch, device=self.device) * (high - low) + low

    def chance(self, batch, share):
        return self.uniform(batch, 0, 1) < share

    def __call__(self, pictures, labels, mild):
        """`mild` is a tensor of 0 (anything may happen) to 1 (pictures look as they mostly will)."""
        batch = len(pictures)
        luma, chroma = split_planes(pictures)
        height, width = luma.shape[2:]
        luma, chroma = self.degrade(luma, chroma, 1 - 0.6 * mild)
        yuv = torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="nearest")), 1)

        fit = min(WIDTH / width, HEIGHT / height)
        zoom = torch.exp2(self.uniform(batch, -0.5 + 0.15 * mild, 0.7))
        scale = fit * torch.where(self.chance(batch, 0.4 + 0.2 * mild), 1.0, zoom)
        room_x, room_y = WIDTH - width * scale, HEIGHT - height * scale
        plain = scale == fit
        shift_x = room_x * torch.where(plain, 0.5, self.uniform(batch, 0, 1))
        shift_y = room_y * torch.where(plain, 0.5, self.uniform(batch, 0, 1))
        flip = self.chance(batch, 0.5)

        images = self.sample(yuv, scale, shift_x, shift_y, flip)
        return images, self.move(labels, width, scale, shift_x, shift_y, flip)

    def degrade(self, luma, chroma, jitter):
        """`jitter` is how far colours go astray; noise and coding are what they are."""
        batch = len(luma)
        column = (batch, 1, 1, 1)
        contrast = 1 + jitter * self.uniform(batch, -0.25, 0.25).view(column)
        brightness = jitter * self.uniform(batch, -22, 22).view(column)
        luma = (luma - 110) * contrast + 110 + brightness
        chroma = (chroma - 128) * (1 + jitter * self.uniform(batch, -0.45, 0.35).view(column)) + 128
        chroma = chroma + torch.randn((batch, 2, 1, 1), device=self.device) * 3 * jitter

        kernel = torch.tensor([1.0, 2.0, 1.0], device=self.device)
        kernel = (kernel[:, None] * kernel / 16)[None, None]
        blurred = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), kernel)
        amount = (self.uniform(batch, 0, 1) * self.chance(batch, 0.4)).view(column)
        luma = luma + (blurred - luma) * amount

        level = (self.uniform(batch, 0, 7) * self.chance(batch, 0.5)).view(column)
        luma = luma + torch.randn(luma.shape, device=self.device) * level

        # From hardly visible to what a starved coder leaves.
        strength = torch.exp2(self.uniform(batch, -2.5, 1.9))
        steps = LUMINANCE.to(self.device) * strength[:, None, None]
        coded = quantise(luma, steps, 8)
        flat = (14 * strength)[:, None, None].expand(batch, 4, 4)
        coded_chroma = quantise(chroma, flat, 4)
        keep = self.chance(batch, 0.3).view(column)
        return torch.where(keep, luma, coded).clamp(0, 255), torch.where(keep, chroma, coded_chroma).clamp(0, 255)

    def sample(self, yuv, scale, shift_x, shift_y, flip):
        """Bilinear without smoothing, as the runtime scales: every input pixel looks up its place in the picture."""
        height, width = yuv.shape[2:]
        xs = torch.arange(WIDTH, device=self.device) + 0.5
        ys = torch.arange(HEIGHT, device=self.device) + 0.5
        x = (xs[None] - shift_x[:, None]) / scale[:, None] / width * 2 - 1
        y = (ys[None] - shift_y[:, None]) / scale[:, None] / height * 2 - 1
        x = torch.where(flip[:, None], -x, x)
        grid = torch.stack(
            (x[:, None, :].expand(-1, HEIGHT, -1), y[:, :, None].expand(-1, -1, WIDTH)), -1
        )
        sampled = F.grid_sample(yuv, grid, mode="bilinear", padding_mode="border", align_corners=False)
        inside = ((x.abs() <= 1)[:, None, None, :] & (y.abs() <= 1)[:, None, :, None]).float()
        return to_rgb(sampled) * inside + PAD * (1 - inside)

    def move(self, labels, width, scale, shift_x, shift_y, flip):
        """Labels in input pixels. Column 5 becomes 1 for an object, 0 for one to ignore; others get class -1."""
        kind, left, top, right, bottom, visible = labels.unbind(-1)
        left, right = (
            torch.where(flip[:, None], width - right, left),
            torch.where(flip[:, None], width - left, right),
        )
        x1, x2 = (edge * scale[:, None] + shift_x[:, None] for edge in (left, right))
        y1, y2 = (edge * scale[:, None] + shift_y[:, None] for edge in (top, bottom))
        whole = ((x2 - x1) * (y2 - y1)).clamp(min=1e-3)
        x1, x2, y1, y2 = x1.clamp(0, WIDTH), x2.clamp(0, WIDTH), y1.clamp(0, HEIGHT), y2.clamp(0, HEIGHT)
        w, h = x2 - x1, y2 - y1
        seen = visible * (w * h / whole)
        known = (kind >= 0) & (w > 0.5) & (h > 0.5) & (seen > HIDDEN)
        counts = known & (seen >= MIN_VISIBLE) & (w >= MIN_WIDTH) & (h >= MIN_HEIGHT)
        kind = torch.where(known, kind, torch.full_like(kind, -1))
        return torch.stack((kind, x1, y1, x2, y2, counts.float()), -1)

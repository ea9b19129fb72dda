"""Pictures and labels that `render_dataset` wrote, and what may happen to a picture between lens and detector."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model import HEIGHT, WIDTH

PAD = 114 / 255
MAX_OBJECTS = 96
# An object counts in training from this visible share and these sides in input pixels; what counts for less is neither
# object nor background.
MIN_VISIBLE, MIN_WIDTH, MIN_HEIGHT = 0.3, 2.5, 4.0
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
    labels = np.zeros((pictures, MAX_OBJECTS, 6), np.float32)
    labels[..., 0] = -1
    counts = np.zeros(pictures, int)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            picture = int(row["picture"])
            if counts[picture] == MAX_OBJECTS:
                continue
            x, y, w, h = (float(row[key]) for key in ("x", "y", "width", "height"))
            labels[picture, counts[picture]] = int(row["class"]), x, y, x + w, y + h, float(row["visible"])
            counts[picture] += 1
    return labels


def read_shard(prefix, width, height):
    pictures = np.fromfile(f"{prefix}.i420", np.uint8).reshape(-1, height * 3 // 2, width)
    return pictures, read_labels(f"{prefix}.csv", len(pictures))


def load(folder, device):
    """Every shard `NAME_WIDTHxHEIGHT.i420` of a folder, as one (pictures, labels) pair of tensors for each size."""
    sizes = {}
    for path in sorted(Path(folder).glob("*.i420")):
        width, height = map(int, re.search(r"_(\d+)x(\d+)$", path.stem).groups())
        sizes.setdefault((width, height), []).append(path.with_suffix(""))
    loaded = []
    for (width, height), prefixes in sizes.items():
        shards = [read_shard(prefix, width, height) for prefix in prefixes]
        pictures = torch.cat([torch.from_numpy(pictures).to(device) for pictures, _ in shards])
        labels = torch.from_numpy(np.concatenate([labels for _, labels in shards])).to(device)
        loaded.append((pictures, labels))
    return loaded


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
    blocks = plane.reshape(batch, channels, height // size, size, width // size, size).transpose(3, 4)
    step = step[:, None, None, None]
    coefficients = basis @ (blocks - 128) @ basis.T
    # A dead zone of two thirds of a step, as video coders have it.
    levels = torch.sign(coefficients) * torch.floor(coefficients.abs() / step + 1 / 3)
    blocks = basis.T @ (levels * step) @ basis + 128
    return blocks.transpose(3, 4).reshape(plane.shape).clamp(0, 255)


class Augment:
    """Draws from a generator what a camera, a coder and a crop do to a batch; labels follow."""

    def __init__(self, device, seed):
        self.random = torch.Generator(device=device).manual_seed(seed)
        self.device = device

    def uniform(self, batch, low, high):
        return torch.rand(batch, generator=self.random, device=self.device) * (high - low) + low

    def chance(self, batch, share):
        return self.uniform(batch, 0, 1) < share

    def __call__(self, pictures, labels, mild=False):
        batch = len(pictures)
        luma, chroma = split_planes(pictures)
        height, width = luma.shape[2:]
        luma, chroma = self.degrade(luma, chroma, 0.4 if mild else 1.0)
        yuv = torch.cat((luma, F.interpolate(chroma, scale_factor=2, mode="nearest")), 1)

        fit = min(WIDTH / width, HEIGHT / height)
        zoom = torch.exp2(self.uniform(batch, -0.35 if mild else -0.5, 0.7))
        scale = fit * torch.where(self.chance(batch, 0.6 if mild else 0.4), 1.0, zoom)
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
        chroma = chroma + torch.randn((batch, 2, 1, 1), generator=self.random, device=self.device) * 3 * jitter

        kernel = torch.tensor([1.0, 2.0, 1.0], device=self.device)
        kernel = (kernel[:, None] * kernel / 16)[None, None]
        blurred = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), kernel)
        amount = (self.uniform(batch, 0, 1) * self.chance(batch, 0.4)).view(column)
        luma = luma + (blurred - luma) * amount

        level = (self.uniform(batch, 0, 7) * self.chance(batch, 0.5)).view(column)
        luma = luma + torch.randn(luma.shape, generator=self.random, device=self.device) * level

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

"""The starter detector: a small anchor-free network with three output strides.

The input is an RGB picture of 0-1, letterboxed to WIDTH x HEIGHT. In training `forward` returns raw predictions; `Exported`
wraps the same weights, with batch normalisation folded into the convolutions, and returns the YOLOv8 layout
`1 x (4 + classes) x anchors`: centre x, centre y, width, height in input pixels, then class scores after the sigmoid.
"""

import torch
from torch import nn

CLASSES = ("person", "car", "truck", "bicycle", "dog")
WIDTH, HEIGHT = 416, 256
STRIDES = (8, 16, 32)
# Largest logarithm of a box side in strides: more than the whole input at the finest stride.
LARGEST = 4.2


class Conv(nn.Module):
    """Convolution, batch normalisation, ReLU (the activation that costs nothing on a CPU)."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.act = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))

    @torch.no_grad()
    def fold(self):
        """The same function as one convolution with a bias."""
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        folded = nn.Conv2d(
            self.conv.in_channels,
            self.conv.out_channels,
            self.conv.kernel_size,
            self.conv.stride,
            self.conv.padding,
            groups=self.conv.groups,
        )
        folded.weight.copy_(self.conv.weight * scale[:, None, None, None])
        folded.bias.copy_(self.norm.bias - self.norm.running_mean * scale)
        return nn.Sequential(folded, self.act)


class Block(nn.Module):
    """Cross-stage block: half of the channels pass residual 3x3 pairs, the other half go by."""

    def __init__(self, inputs, outputs, depth, shortcut=True):
        super().__init__()
        half = outputs // 2
        self.main = Conv(inputs, half, 1)
        self.side = Conv(inputs, half, 1)
        self.pairs = nn.ModuleList(nn.Sequential(Conv(half, half), Conv(half, half)) for _ in range(depth))
        self.join = Conv(2 * half, outputs, 1)
        self.shortcut = shortcut

    def forward(self, x):
        main = self.main(x)
        for pair in self.pairs:
            main = main + pair(main) if self.shortcut else pair(main)
        return self.join(torch.cat((main, self.side(x)), 1))


class Context(nn.Module):
    """Spatial pyramid pooling, so that the coarsest level sees most of the picture."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.enter = Conv(channels, half, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = Conv(4 * half, channels, 1)

    def forward(self, x):
        x = self.enter(x)
        a = self.pool(x)
        b = self.pool(a)
        return self.leave(torch.cat((x, a, b, self.pool(b)), 1))


class Detector(nn.Module):
    # ONNX Runtime computes 16 channels at a time with AVX-512 (8 with AVX2), so 24 channels cost what 32 do. The pairs are
    # where the small objects are, at stride 8.
    def __init__(self, widths=(16, 32, 64, 80, 128), neck=32, hidden=32):
        super().__init__()
        w1, w2, w3, w4, w5 = widths
        self.stem = nn.Sequential(Conv(3, w1, 3, 2), Conv(w1, w2, 3, 2))
        self.stage3 = nn.Sequential(Conv(w2, w3, 3, 2), Block(w3, w3, 2))
        self.stage4 = nn.Sequential(Conv(w3, w4, 3, 2), Block(w4, w4, 1))
        self.stage5 = nn.Sequential(Conv(w4, w5, 3, 2), Block(w5, w5, 1), Context(w5))
        self.lateral5 = Conv(w5, neck * 2, 1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.top4 = Block(w4 + neck * 2, neck * 2, 1, shortcut=False)
        self.lateral4 = Conv(neck * 2, neck, 1)
        self.top3 = Block(w3 + neck, neck, 1, shortcut=False)
        self.down3 = Conv(neck, neck, 3, 2)
        self.bottom4 = Block(neck * 2, neck * 2, 1, shortcut=False)
        self.down4 = Conv(neck * 2, neck * 2, 3, 2)
        self.bottom5 = Block(neck * 4, neck * 2, 1, shortcut=False)
        channels = (neck, neck * 2, neck * 2)
        self.heads = nn.ModuleList(nn.Sequential(Conv(c, hidden, 1), Conv(hidden, hidden)) for c in channels)
        self.boxes = nn.ModuleList(nn.Conv2d(hidden, 4, 1) for _ in STRIDES)
        self.scores = nn.ModuleList(nn.Conv2d(hidden, len(CLASSES), 1) for _ in STRIDES)
        for box, score in zip(self.boxes, self.scores):
            nn.init.zeros_(box.bias)
            # At first an anchor believes with 1 % in each class.
            nn.init.constant_(score.bias, -4.6)

    def forward(self, x):
        """Box offsets (batch x anchors x 4, see `decode`) and class logits (batch x anchors x classes)."""
        c3 = self.stage3(self.stem(x))
        c4 = self.stage4(c3)
        c5 = self.lateral5(self.stage5(c4))
        p4 = self.lateral4(self.top4(torch.cat((self.up(c5), c4), 1)))
        p3 = self.top3(torch.cat((self.up(p4), c3), 1))
        n4 = self.bottom4(torch.cat((self.down3(p3), p4), 1))
        n5 = self.bottom5(torch.cat((self.down4(n4), c5), 1))
        boxes, scores = [], []
        for level, features in enumerate((p3, n4, n5)):
            hidden = self.heads[level](features)
            boxes.append(self.boxes[level](hidden).flatten(2))
            scores.append(self.scores[level](hidden).flatten(2))
        return torch.cat(boxes, 2).transpose(1, 2), torch.cat(scores, 2).transpose(1, 2)


def anchors(width=WIDTH, height=HEIGHT):
    """Anchor centres in input pixels (N x 2) and strides (N x 1), in the order of the outputs."""
    centres, strides = [], []
    for stride in STRIDES:
        ys, xs = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centre = (torch.stack((xs.flatten(), ys.flatten()), 1).float() + 0.5) * stride
        centres.append(centre)
        strides.append(torch.full((len(centre), 1), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def decode(raw, centres, strides):
    """Corner boxes in input pixels: the centre is offset from the anchor in strides, the size is exponential, as in
    YOLOX (arXiv 2107.08430)."""
    middle = centres + raw[..., :2] * strides
    half = raw[..., 2:].clamp(max=LARGEST).exp() * strides * 0.5
    return torch.cat((middle - half, middle + half), -1)


class Exported(nn.Module):
    def __init__(self, detector):
        super().__init__()
        self.detector = detector
        centres, strides = anchors()
        self.register_buffer("centres", centres.T[None].contiguous())
        self.register_buffer("strides", strides.T[None].contiguous())

    def forward(self, images):
        raw, logits = self.detector(images)
        offset, size = torch.split(raw.transpose(1, 2), 2, 1)
        middle = self.centres + offset * self.strides
        size = size.clamp(max=LARGEST).exp() * self.strides
        return torch.cat((middle, size, logits.transpose(1, 2).sigmoid()), 1)


def fold(module):
    """Folds every batch normalisation below `module` into its convolution."""
    for name, child in module.named_children():
        if isinstance(child, Conv):
            setattr(module, name, child.fold())
        else:
            fold(child)
    return module

"""Which anchor answers for which object, and how wrong it is: task-aligned assignment (TOOD, arXiv 2108.07755), with
complete IoU (arXiv 1911.08287) for boxes."""

import math

import torch
import torch.nn.functional as F

ALPHA, BETA, CANDIDATES = 0.5, 6.0, 10
# Objects smaller than this are searched for anchors in a square of this side, in input pixels.
SMALLEST_SEARCH = 16.0
BOX_WEIGHT = 7.5


def overlap(a, b):
    """IoU of corner boxes, broadcast over the leading dimensions."""
    near, far = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (far - near).clamp(min=0).prod(-1)
    area = lambda box: (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)
    return shared / (area(a) + area(b) - shared + 1e-7)


def complete_overlap(a, b):
    """IoU less penalties for distant centres and different proportions."""
    iou = overlap(a, b)
    span = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = span.pow(2).sum(-1) + 1e-7
    between = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).pow(2).sum(-1)
    wa, ha = (a[..., 2:] - a[..., :2]).clamp(min=1e-3).unbind(-1)
    wb, hb = (b[..., 2:] - b[..., :2]).clamp(min=1e-3).unbind(-1)
    shape = 4 / math.pi**2 * (torch.atan(wb / hb) - torch.atan(wa / ha)).pow(2)
    with torch.no_grad():
        weight = shape / (1 - iou + shape + 1e-7)
    return iou - between / diagonal - weight * shape


def contains(boxes, centres):
    """Whether anchors lie in boxes: batch x boxes x anchors."""
    after = centres[None, None] > boxes[..., None, :2]
    before = centres[None, None] < boxes[..., None, 2:]
    return (after & before).all(-1)


@torch.no_grad()
def assign(boxes, scores, centres, labels):
    """For each anchor its object's box, its target scores (batch x anchors x classes), and whether it is judged."""
    kind, target, counts = labels[..., 0].long(), labels[..., 1:5], labels[..., 5] > 0
    known = kind >= 0
    valid = known & counts
    middle = (target[..., :2] + target[..., 2:]) / 2
    half = ((target[..., 2:] - target[..., :2]) / 2).clamp(min=SMALLEST_SEARCH / 2)
    inside = contains(torch.cat((middle - half, middle + half), -1), centres) & valid[..., None]

    ious = overlap(boxes[:, None], target[:, :, None])
    classes = kind.clamp(min=0)[..., None].expand(-1, -1, scores.shape[1])
    likely = scores.transpose(1, 2).gather(1, classes)
    fitness = likely.pow(ALPHA) * ious.pow(BETA) * inside
    # Far from a fit the product vanishes; there the nearest anchors must do.
    distance = (centres[None, None] - middle[:, :, None]).pow(2).sum(-1)
    rank = torch.where(inside, fitness + 1e-9 / (1 + distance), torch.zeros_like(fitness))
    best, index = rank.topk(CANDIDATES, dim=-1)
    chosen = torch.zeros_like(inside).scatter_(-1, index, best > 0)

    # An anchor that several objects want goes to the one it overlaps most.
    owner_iou, owner = torch.where(chosen, ious + 1e-6, torch.zeros_like(ious)).max(1)
    assigned = chosen.any(1)
    objects = torch.arange(chosen.shape[1], device=owner.device)
    chosen &= owner[:, None] == objects[:, None]
    fitness = fitness * chosen
    top_fitness = fitness.amax(-1, keepdim=True)
    top_iou = (ious * chosen).amax(-1, keepdim=True)
    quality = (fitness / (top_fitness + 1e-9) * top_iou).amax(1)

    owned_box = target.gather(1, owner[..., None].expand(-1, -1, 4))
    owned_class = kind.clamp(min=0).gather(1, owner)
    kinds = torch.arange(scores.shape[2], device=owner.device)
    targets = (owned_class[..., None] == kinds).float() * (quality * assigned)[..., None]
    ignored = (contains(target, centres) & (known & ~counts)[..., None]).any(1)
    return owned_box, targets, assigned, assigned | ~ignored


def loss(boxes, logits, centres, labels):
    owned_box, targets, assigned, judged = assign(boxes.detach(), logits.detach().sigmoid(), centres, labels)
    total = targets.sum().clamp(min=1)
    wrong_class = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
    weight = targets.sum(-1) * assigned
    wrong_box = (1 - complete_overlap(boxes, owned_box)) * weight
    return (wrong_class * judged).sum() / total + BOX_WEIGHT * wrong_box.sum() / total

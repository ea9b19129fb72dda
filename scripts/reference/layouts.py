"""From a detector's outputs to boxes. Every function returns corners in input pixels (N x 4: left, top, right, bottom)
and the scores of every class (N x C)."""

import numpy as np


def from_centres(centres):
    x, y, width, height = centres.T
    return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)


def yolo_v5(outputs, width, height):
    rows = outputs[0][0]
    return from_centres(rows[:, :4]), rows[:, 4:5] * rows[:, 5:]


def yolo_v8(outputs, width, height):
    rows = outputs[0][0].T
    return from_centres(rows[:, :4]), rows[:, 4:]


def yolox_raw(outputs, width, height):
    rows = outputs[0][0].copy()
    start = 0
    for stride in (8, 16, 32, 64):
        if start == len(rows):
            break
        lines, columns = height // stride, width // stride
        y, x = np.mgrid[:lines, :columns]
        level = rows[start : start + lines * columns]
        level[:, 0] = (level[:, 0] + x.ravel()) * stride
        level[:, 1] = (level[:, 1] + y.ravel()) * stride
        level[:, 2:4] = np.exp(level[:, 2:4]) * stride
        start += lines * columns
    return from_centres(rows[:, :4]), rows[:, 4:5] * rows[:, 5:]


def end_to_end(outputs, width, height, classes):
    rows = outputs[0][0]
    scores = np.zeros((len(rows), classes))
    scores[np.arange(len(rows)), rows[:, 5].round().astype(int)] = rows[:, 4]
    return rows[:, :4], scores


def fastest_det(outputs, width, height):
    cells = outputs[0][0]
    _, lines, columns = cells.shape
    y, x = np.mgrid[:lines, :columns]
    centres = np.stack(
        [
            (x + np.tanh(cells[1])) / columns * width,
            (y + np.tanh(cells[2])) / lines * height,
            width / (1 + np.exp(-cells[3])),
            height / (1 + np.exp(-cells[4])),
        ],
        axis=-1,
    ).reshape(-1, 4)
    scores = cells[0].reshape(-1, 1) ** 0.6 * cells[5:].reshape(len(cells) - 5, -1).T ** 0.4
    return from_centres(centres), scores


def ssd(outputs, width, height, classes):
    boxes, scores = by_width(outputs)
    # A column more than there are classes stands for the background and comes first.
    return boxes * [width, height, width, height], scores[:, scores.shape[1] - classes :]


def queries(outputs, width, height):
    boxes, logits = by_width(outputs)
    return from_centres(boxes * [width, height, width, height]), 1 / (1 + np.exp(-logits))


def by_width(outputs):
    """Boxes, which have four columns, and scores."""
    first, second = (output[0].reshape(output.shape[1], -1) for output in outputs)
    return (first, second) if first.shape[1] == 4 else (second, first)


def overlap(box, others):
    """Intersection over union of one box with each of the others."""
    width = np.clip(np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0]), 0, None)
    height = np.clip(np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1]), 0, None)
    intersection = width * height
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return intersection / (area + areas - intersection)


def suppress(boxes, scores, classes, iou):
    """Indices of the boxes that no better one of the same class hides, best first."""
    kept = []
    order = np.argsort(-scores, kind="stable")
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        hidden = (overlap(boxes[best], boxes[order]) > iou) & (classes[order] == classes[best])
        order = order[~hidden]
    return np.array(kept, dtype=int)


LAYOUTS = {
    "YOLOv5": yolo_v5,
    "YOLOv8": yolo_v8,
    "YOLOXRaw": yolox_raw,
    "YOLOXDecoded": yolo_v5,
    "FastestDet": fastest_det,
    "Queries": queries,
}

# Layouts whose every row is an object: nothing is suppressed.
FINISHED = ("YOLOEndToEnd", "Queries")


def detect(layout, outputs, place, size, classes, confidence, iou, most=300):
    """Objects in a picture: (class, score, x, y, width, height), normalised to the picture."""
    if layout == "YOLOEndToEnd":
        boxes, scores = end_to_end(outputs, *size, classes)
    elif layout == "SSD":
        boxes, scores = ssd(outputs, *size, classes)
    else:
        boxes, scores = LAYOUTS[layout](outputs, *size)
    best = scores.argmax(axis=1)
    score = scores[np.arange(len(scores)), best]
    candidates = np.flatnonzero(score >= confidence)
    boxes, score, best = boxes[candidates], score[candidates], best[candidates]
    if layout in FINISHED:
        order = np.argsort(-score, kind="stable")
    else:
        order = suppress(boxes, score, best, iou)
    x, y, width, height = place
    objects = []
    for index in order[:most]:
        left, right = np.clip((boxes[index, [0, 2]] - x) / width, 0, 1)
        top, bottom = np.clip((boxes[index, [1, 3]] - y) / height, 0, 1)
        if right > left and bottom > top:
            objects.append((int(best[index]), float(score[index]), left, top, right - left, bottom - top))
    return objects

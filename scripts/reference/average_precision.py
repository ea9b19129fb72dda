#!/usr/bin/env python3
"""Average precision by class, every-point interpolation (PASCAL VOC from 2010 on).

Truth and detections are lines of JSON as `detect.py` prints them (truth needs no confidence), or two folders of text
files, one a picture: `label [confidence] left top width height`."""

import argparse
import json
from pathlib import Path

from compare import overlap, read


def read_folder(folder):
    frames = {}
    for path in sorted(folder.glob("*.txt")):
        objects = []
        for line in path.read_text(encoding="utf-8").splitlines():
            label, *numbers = line.split()
            *confidence, x, y, width, height = map(float, numbers)
            # These boxes are of whole pixels, and the last one belongs to them.
            box = {"x": x, "y": y, "width": width + 1, "height": height + 1}
            objects.append({"label": label, "confidence": confidence[0] if confidence else 1.0, "box": box})
        frames[path.stem, 0] = objects
    return frames


def hits(truth, detections, least):
    """Whether each detection of one class, best first, finds an object that none before it found."""
    found = set()
    ordered = sorted(
        ((detection["confidence"], key, detection["box"]) for key in detections for detection in detections[key]),
        key=lambda detection: -detection[0],
    )
    for _, key, box in ordered:
        ious = [overlap(box, other["box"]) for other in truth.get(key, [])]
        best = max(range(len(ious)), key=ious.__getitem__, default=None)
        hit = best is not None and ious[best] >= least and (key, best) not in found
        if hit:
            found.add((key, best))
        yield hit


def area(recalls, precisions):
    """Under the precision envelope, over recall."""
    total, recall = 0.0, 0.0
    for index, reached in enumerate(recalls):
        total += (reached - recall) * max(precisions[index:])
        recall = reached
    return total


def average_precision(truth, detections, least):
    """By label, for every label in the truth."""

    def of(label, frames):
        return {key: [one for one in objects if one["label"] == label] for key, objects in frames.items()}

    result = {}
    for label in sorted({one["label"] for objects in truth.values() for one in objects}):
        wanted = of(label, truth)
        count = sum(map(len, wanted.values()))
        recalls, precisions, right = [], [], 0
        for index, hit in enumerate(hits(wanted, of(label, detections), least)):
            right += hit
            # Only a hit raises recall, and with it the area.
            if hit:
                recalls.append(right / count)
                precisions.append(right / (index + 1))
        result[label] = area(recalls, precisions)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("detections", type=Path)
    parser.add_argument("--iou", type=float, default=0.5)
    args = parser.parse_args()
    truth, detections = (
        read_folder(path) if path.is_dir() else read(path) for path in (args.truth, args.detections)
    )
    by_label = average_precision(truth, detections, args.iou)
    mean = sum(by_label.values()) / len(by_label) if by_label else 0.0
    print(json.dumps({"iou": args.iou, "mean": mean, "byLabel": by_label}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Says how far two files of detections (one line of JSON per frame) agree: the share of boxes of either that have a
partner of the same class in the same frame of the other with IoU of at least --iou."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path


def read(path):
    """Objects by file name and the frame's place in it, counted by its lines."""
    frames, lines_of = {}, Counter()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            frame = json.loads(line)
            name = Path(frame["file"]).name
            frames[name, lines_of[name]] = frame["objects"]
            lines_of[name] += 1
    return frames


def overlap(a, b):
    width = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    height = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / (a["width"] * a["height"] + b["width"] * b["height"] - intersection)


def pairs(first, second, least):
    """Partners, best overlap first; each object has one at the most."""
    candidates = [
        (overlap(a["box"], b["box"]), i, j)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if a["label"] == b["label"]
    ]
    taken_first, taken_second, found = set(), set(), []
    for iou, i, j in sorted(candidates, reverse=True):
        if iou >= least and i not in taken_first and j not in taken_second:
            taken_first.add(i)
            taken_second.add(j)
            found.append((iou, i, j))
    return found


def compare(first, second, least):
    """Totals over all frames of either file."""
    totals = {"frames": 0, "first": 0, "second": 0, "matched": 0, "lowestIou": 1.0, "confidenceDifference": 0.0}
    for key in first.keys() | second.keys():
        a, b = first.get(key, []), second.get(key, [])
        found = pairs(a, b, least)
        totals["frames"] += 1
        totals["first"] += len(a)
        totals["second"] += len(b)
        totals["matched"] += len(found)
        for iou, i, j in found:
            difference = abs(a[i]["confidence"] - b[j]["confidence"])
            totals["lowestIou"] = min(totals["lowestIou"], iou)
            totals["confidenceDifference"] = max(totals["confidenceDifference"], difference)
    boxes = totals["first"] + totals["second"]
    totals["share"] = 2 * totals["matched"] / boxes if boxes else 1.0
    totals["framesInOneOnly"] = len(first.keys() ^ second.keys())
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--iou", type=float, default=0.95)
    parser.add_argument("--require", type=float, default=0.0, help="exit with 1 below this share")
    args = parser.parse_args()
    totals = compare(read(args.first), read(args.second), args.iou)
    print(json.dumps(totals))
    sys.exit(totals["share"] < args.require or totals["framesInOneOnly"] > 0)


if __name__ == "__main__":
    main()

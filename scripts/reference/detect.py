#!/usr/bin/env python3
"""Detects objects in pictures and videos: one line of JSON per frame, in order."""

import argparse
import ast
import json
import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime

import layouts
from pictures import Picture, Preprocess, to_input

COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")

# colour order, scale, fit
DEFAULTS = {
    "YOLOv5": ("RGB", 1 / 255, "Center"),
    "YOLOv8": ("RGB", 1 / 255, "Center"),
    "YOLOEndToEnd": ("RGB", 1 / 255, "Center"),
    "YOLOXRaw": ("BGR", 1.0, "TopLeft"),
    "YOLOXDecoded": ("BGR", 1.0, "TopLeft"),
    "FastestDet": ("BGR", 1 / 255, "None"),
    "SSD": ("RGB", 1 / 255, "None"),
    "Queries": ("RGB", 1 / 255, "None"),
}

# ISO/IEC 23091-2 matrix coefficients; 2 is "unspecified".
MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--layout", required=True, choices=DEFAULTS)
    parser.add_argument("--fit", choices=["Center", "TopLeft", "None"], help="default: by layout")
    parser.add_argument("--confidence", type=float, default=0.25)
    parser.add_argument("--iou", type=float, default=0.45)
    parser.add_argument(
        "--unspecified-matrix",
        choices=["bt601", "bt709"],
        help="for streams that name none; default: bt709 above 576 lines, bt601 below, as GStreamer does",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("files", nargs="+", type=Path)
    return parser.parse_args()


def pictures(path, unspecified):
    """The decoded pictures of a file, in the order that they are shown."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            full_range = frame.format.name.startswith("yuvj") or frame.color_range == 2
            if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"):
                sys.exit(f"{path}: {frame.format.name} pictures cannot be read")
            planes = []
            for plane in frame.planes:
                samples = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                planes.append(samples[:, : plane.width].copy())
            usual = "bt709" if frame.height > 576 else "bt601"
            yield Picture(planes, MATRICES.get(int(frame.colorspace), unspecified or usual), full_range)


def main():
    args = arguments()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    height, width = image.shape[2:]
    names = session.get_modelmeta().custom_metadata_map.get("names")
    labels = list(ast.literal_eval(names).values()) if names else COCO
    order, scale, fit = DEFAULTS[args.layout]
    preprocess = Preprocess(width, height, order, scale, (0, 0, 0), (1, 1, 1), args.fit or fit)
    for path in args.files:
        for number, picture in enumerate(pictures(path, args.unspecified_matrix)):
            tensor, place = to_input(picture, preprocess)
            outputs = session.run(None, {image.name: tensor.astype(np.float32)})
            outputs = [output.astype(np.float64) for output in outputs]
            found = layouts.detect(
                args.layout, outputs, place, (width, height), len(labels), args.confidence, args.iou
            )
            objects = [
                {
                    "label": labels[label],
                    "confidence": score,
                    "box": {"x": x, "y": y, "width": box_width, "height": box_height},
                }
                for label, score, x, y, box_width, box_height in found
            ]
            line = {"file": str(path), "frame": number, "width": picture.width, "height": picture.height}
            print(json.dumps(line | {"objects": objects}), flush=True)


if __name__ == "__main__":
    main()

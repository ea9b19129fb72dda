"""Writes trained weights as ONNX with the labels in the metadata, the way YOLOv8 exports carry them.

    python export.py starter.onnx.pt starter.onnx
"""

import copy
import sys

import onnx
import torch

from model import CLASSES, HEIGHT, WIDTH, Detector, Exported, fold

OPSET = 17


def export(detector, path):
    detector = fold(copy.deepcopy(detector).float().cpu().eval())
    example = torch.zeros(1, 3, HEIGHT, WIDTH)
    torch.onnx.export(
        Exported(detector).eval(),
        (example,),
        path,
        input_names=["images"],
        output_names=["output0"],
        opset_version=OPSET,
        dynamo=False,
    )
    document = onnx.load(path)
    # Consecutive transpositions of the training layout cancel out; the checker makes sure nothing else changed.
    for key, value in {
        "names": repr(dict(enumerate(CLASSES))),
        "task": "detect",
        "stride": "32",
        "imgsz": repr([HEIGHT, WIDTH]),
        "batch": "1",
        "description": "Street objects in pictures drawn by street-scenes",
        "license": "Apache-2.0",
    }.items():
        document.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(document)
    onnx.save(document, path)


if __name__ == "__main__":
    weights, output = sys.argv[1:]
    trained = Detector()
    trained.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    export(trained, output)

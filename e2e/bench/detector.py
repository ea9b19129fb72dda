"""The detector that both peer loops share: letterbox, ONNX Runtime with its defaults, threshold, suppression.

It reads the YOLOv8 layout (1 x (4 + classes) x candidates, RGB 0-1, letterboxed), as the usual example programs do.
"""

import cv2
import numpy as np
import onnxruntime

CONFIDENCE = 0.25
IOU = 0.45


class Detector:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        model_input = self.session.get_inputs()[0]
        self.name = model_input.name
        self.height, self.width = model_input.shape[2:]

    def __call__(self, picture):
        """Boxes (x, y, width, height in pixels), scores and classes of an RGB picture of any size."""
        rows, columns = picture.shape[:2]
        ratio = min(self.width / columns, self.height / rows)
        width, height = round(columns * ratio), round(rows * ratio)
        left, top = (self.width - width) // 2, (self.height - height) // 2
        if (width, height) != (columns, rows):
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((self.height, self.width, 3), 114, np.uint8)
        canvas[top : top + height, left : left + width] = picture
        tensor = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32) / 255.0
        output = self.session.run(None, {self.name: tensor})[0][0]
        classes = output[4:].argmax(0)
        scores = output[4:].max(0)
        keep = scores >= CONFIDENCE
        centres, sizes = output[:2, keep].T, output[2:4, keep].T
        boxes = (np.concatenate([centres - sizes / 2, sizes], 1) - [left, top, 0, 0]) / ratio
        chosen = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores[keep].tolist(), classes[keep].tolist(), CONFIDENCE, IOU)
        return boxes[chosen], scores[keep][chosen], classes[keep][chosen]

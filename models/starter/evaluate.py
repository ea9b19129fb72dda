"""Measures the starter model on rendered street scenes of seeds that training never saw.

    cargo build --release -p street-scenes --example render_dataset
    python models/starter/evaluate.py                      # 500 pictures, half 640x360, half 1280x720
    python models/starter/evaluate.py --h264 400           # the same after x264 at 400 kbit/s for 640x360 (needs GStreamer)

An object counts if at least half of it is visible (MIN_VISIBLE), and it is at least 5 % of the picture high (MIN_HEIGHT) and
1.2 % of the picture wide (MIN_WIDTH). What is less visible or smaller is neither required nor an error when found. The
average precision is the area under the precision envelope over all recall values, at an IoU of 0.5.
"""

import argparse
import ast
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

MIN_VISIBLE, MIN_HEIGHT, MIN_WIDTH = 0.5, 0.05, 0.012
# Training uses seeds below 100 000.
FIRST_SEED = 1_000_000
SIZES = ((640, 360), (1280, 720))
# With a coder in between, each scene is a short stretch of video of which the last frame is judged.
STRETCH = 6
SCORE_FLOOR, NMS_IOU, MATCH_IOU = 0.01, 0.6, 0.5
ROOT = Path(__file__).resolve().parents[2]


def render(renderer, folder, width, height, first_seed, scenes, stretch):
    """Renders the pictures of one size, unless an earlier run left them in the folder."""
    prefix = f"{folder}/test-{first_seed}-{scenes}-{stretch}_{width}x{height}"
    if Path(f"{prefix}.i420").exists():
        return prefix
    numbers = (width, height, first_seed, scenes, stretch, 1)
    subprocess.run([renderer, prefix, *map(str, numbers)], check=True)
    return prefix


def recode(prefix, width, height, kilobits):
    """What a decoder makes of an x264 stream of the pictures."""
    plain, decoded = f"{prefix}.i420", f"{prefix}.decoded"
    pipeline = (
        f"filesrc location={plain} ! rawvideoparse format=i420 width={width} height={height} framerate=15/1 ! "
        f"x264enc speed-preset=ultrafast tune=zerolatency bitrate={kilobits} key-int-max=30 threads=1 ! h264parse ! "
        f"avdec_h264 max-threads=1 ! video/x-raw,format=I420 ! filesink location={decoded}"
    )
    subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], check=True)
    if Path(decoded).stat().st_size != Path(plain).stat().st_size:
        raise SystemExit(f"the decoder gave {Path(decoded).stat().st_size} bytes of {Path(plain).stat().st_size}")
    return decoded


def read_pictures(path, width, height):
    return np.memmap(path, np.uint8, "r").reshape(-1, height * 3 // 2, width)


def read_objects(prefix, pictures):
    """Rows of class, left, top, right, bottom, visible share for each picture."""
    objects = [[] for _ in range(pictures)]
    for line in Path(f"{prefix}.csv").read_text().splitlines()[1:]:
        picture, kind, x, y, w, h, visible = map(float, line.split(","))
        objects[int(picture)].append((kind, x, y, x + w, y + h, visible))
    return [np.array(rows, np.float32).reshape(-1, 6) for rows in objects]


def to_rgb(picture):
    """BT.709 limited range YUV 4:2:0 to RGB of 0-1."""
    rows, width = picture.shape
    height = rows * 2 // 3
    chroma = picture[height:].reshape(2, height // 2, width // 2).astype(np.float32)
    u, v = (chroma.repeat(2, 1).repeat(2, 2) - 128) / 224
    y = (picture[:height].astype(np.float32) - 16) / 219
    red, blue = y + 1.5748 * v, y + 1.8556 * u
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.stack((red, green, blue)).clip(0, 1)


def letterbox(rgb, width, height):
    """Bilinear with half-pixel centres into the middle of a grey canvas; also the scale and the offsets."""
    rows, columns = rgb.shape[1:]
    scale = min(width / columns, height / rows)
    new_w, new_h = round(columns * scale), round(rows * scale)

    def taps(size, new):
        place = ((np.arange(new) + 0.5) * size / new - 0.5).clip(0, size - 1)
        first = place.astype(int)
        return first, np.minimum(first + 1, size - 1), (place - first).astype(np.float32)

    top, below, down = taps(rows, new_h)
    left, beside, along = taps(columns, new_w)
    lines = rgb[:, top] * (1 - down)[:, None] + rgb[:, below] * down[:, None]
    scaled = lines[:, :, left] * (1 - along) + lines[:, :, beside] * along
    x, y = (width - new_w) // 2, (height - new_h) // 2
    canvas = np.full((1, 3, height, width), 114 / 255, np.float32)
    canvas[0, :, y : y + new_h, x : x + new_w] = scaled
    return canvas, scale, x, y


def iou(box, boxes):
    near, far = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (far - near).clip(0).prod(1)
    area = lambda b: (b[..., 2:] - b[..., :2]).prod(-1)
    return shared / (area(box) + area(boxes) - shared + 1e-9), shared / (area(box) + 1e-9)


def suppress(boxes, scores):
    """Indices that non-maximum suppression keeps, best first."""
    order, kept = scores.argsort()[::-1], []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[iou(boxes[best], boxes[order])[0] <= NMS_IOU]
    return kept


class Detector:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]
        self.height, self.width = self.input.shape[2:]
        names = ast.literal_eval(self.session.get_modelmeta().custom_metadata_map["names"])
        self.classes = [names[index] for index in range(len(names))]
        self.milliseconds = []

    def __call__(self, picture):
        """Rows of class, score, left, top, right, bottom in the picture's pixels."""
        canvas, scale, dx, dy = letterbox(to_rgb(picture), self.width, self.height)
        # Processor time of this thread: what other programs do meanwhile does not count.
        started = time.thread_time()
        output = self.session.run(None, {self.input.name: canvas})[0][0]
        self.milliseconds.append((time.thread_time() - started) * 1e3)
        middle, size = output[:2], output[2:4]
        boxes = np.concatenate((middle - size / 2, middle + size / 2)).T
        boxes = (boxes - [dx, dy, dx, dy]) / scale
        limit = [picture.shape[1], picture.shape[0] * 2 // 3] * 2
        boxes = boxes.clip(0, limit)
        found = []
        for kind, scores in enumerate(output[4:]):
            candidates = np.flatnonzero(scores >= SCORE_FLOOR)
            for index in suppress(boxes[candidates], scores[candidates]):
                anchor = candidates[index]
                found.append((kind, scores[anchor], *boxes[anchor]))
        return np.array(found, np.float32).reshape(-1, 6)


def judge(found, objects, kind, width, height, min_visible, min_height):
    """Scores and hits of one class in one picture, and how many objects count."""
    rows = objects[objects[:, 0] == kind]
    counts = (
        (rows[:, 5] >= min_visible)
        & (rows[:, 4] - rows[:, 2] >= min_height * height)
        & (rows[:, 3] - rows[:, 1] >= MIN_WIDTH * width)
    )
    wanted, ignored = rows[counts, 1:5], rows[~counts, 1:5]
    taken = np.zeros(len(wanted), bool)
    results = []
    of_kind = found[found[:, 0] == kind]
    for row in of_kind[of_kind[:, 1].argsort()[::-1]]:
        box = row[2:]
        overlaps = np.where(taken, 0, iou(box, wanted)[0]) if len(wanted) else np.zeros(0)
        if len(overlaps) and overlaps.max() >= MATCH_IOU:
            taken[overlaps.argmax()] = True
            results.append((row[1], True))
            continue
        small = box[3] - box[1] < min_height * height or box[2] - box[0] < MIN_WIDTH * width
        near_ignored = len(ignored) and max(iou(box, ignored)[0].max(), iou(box, ignored)[1].max()) >= MATCH_IOU
        if not small and not near_ignored:
            results.append((row[1], False))
    return results, int(counts.sum())


def average_precision(results, total):
    results = sorted(results, key=lambda result: -result[0])
    hits = np.cumsum([hit for _, hit in results])
    precision = hits / np.arange(1, len(results) + 1)
    recall = hits / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("starter.onnx"))
    parser.add_argument("--renderer", type=Path, default=ROOT / "target/release/examples/render_dataset")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--keep", type=Path, help="keep the rendered pictures in this folder, and use those in it")
    parser.add_argument("--min-visible", type=float, default=MIN_VISIBLE)
    parser.add_argument("--min-height", type=float, default=MIN_HEIGHT)
    parser.add_argument("--h264", type=int, metavar="KBIT", help="encode at this rate for 640x360 (three times for 1280x720)")
    arguments = parser.parse_args()
    detector = Detector(arguments.model)
    stretch = STRETCH if arguments.h264 else 1
    results = [[] for _ in detector.classes]
    totals = [0] * len(detector.classes)
    first_seed, scenes = arguments.first_seed, arguments.pictures // len(SIZES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or temporary
        for width, height in SIZES:
            prefix = render(arguments.renderer, folder, width, height, first_seed, scenes, stretch)
            first_seed += scenes
            path = f"{prefix}.i420"
            if arguments.h264:
                path = recode(prefix, width, height, arguments.h264 * (1 if width <= 640 else 3))
            pictures = read_pictures(path, width, height)
            objects = read_objects(prefix, len(pictures))
            for index in range(stretch - 1, len(pictures), stretch):
                found = detector(pictures[index])
                for kind in range(len(detector.classes)):
                    judged, total = judge(
                        found, objects[index], kind, width, height, arguments.min_visible, arguments.min_height
                    )
                    results[kind] += judged
                    totals[kind] += total
    precisions = []
    for kind, name in enumerate(detector.classes):
        precisions.append(average_precision(results[kind], totals[kind]))
        print(f"{name:8} AP50 {precisions[-1]:.4f}  ({totals[kind]} objects)")
    print(f"mean     AP50 {statistics.mean(precisions):.4f}")
    print(f"one run, one thread: {statistics.median(detector.milliseconds):.2f} ms of processor time (median)")


if __name__ == "__main__":
    main()

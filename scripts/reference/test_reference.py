"""Checks the reference implementation against numbers worked out by hand or published."""

import os
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import average_precision
import compare
import layouts
import pictures

DATA = Path(os.environ.get("VISION_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
GOLDEN = DATA / "groundtruth/eval_golden"


def preprocess(width, height, fit, order="RGB"):
    return pictures.Preprocess(width, height, order, 1.0, (0, 0, 0), (1, 1, 1), fit)


class Pictures(unittest.TestCase):
    def test_places_as_a_letterbox(self):
        self.assertEqual(pictures.place(preprocess(416, 416, "TopLeft"), 1280, 720), (0, 0, 416, 234))
        self.assertEqual(pictures.place(preprocess(640, 640, "Center"), 1280, 720), (0, 140, 640, 360))
        self.assertEqual(pictures.place(preprocess(352, 352, "None"), 1280, 720), (0, 0, 352, 352))

    def test_samples_between_pixel_centres(self):
        plane = np.array([[0, 100]], dtype=np.uint8)
        np.testing.assert_allclose(pictures.resize(plane, 4, 1), [[0, 25, 75, 100]])

    def test_makes_colours_of_studio_levels(self):
        # Pure red in BT.601: Y 81.481, Cb 90.203, Cr 240.
        red = pictures.to_rgb(np.array(81.481), np.array(90.203), np.array(240.0), "bt601", False)
        np.testing.assert_allclose(red, [255, 0, 0], atol=0.01)
        grey = pictures.to_rgb(np.array(126.0), np.array(128.0), np.array(128.0), "bt709", True)
        np.testing.assert_allclose(grey, [126, 126, 126])

    def test_pads_and_orders(self):
        planes = [np.full((2, 4), 81, np.uint8), np.full((1, 2), 90, np.uint8), np.full((1, 2), 240, np.uint8)]
        picture = pictures.Picture(planes, "bt601", False)
        tensor, place = pictures.to_input(picture, preprocess(4, 4, "Center", "BGR"))
        self.assertEqual(place, (0, 1, 4, 2))
        np.testing.assert_allclose(tensor[0, :, 0], pictures.PADDING)
        np.testing.assert_allclose(tensor[0, 2, 1:3], 254.4, atol=0.5)


class Layouts(unittest.TestCase):
    def test_the_same_object_in_every_layout(self):
        size, classes = (64, 32), 2
        row = [36.0, 12.0, 16.0, 8.0]
        end_to_end = np.array([[28.0, 8.0, 44.0, 16.0, 0.72, 1.0]])
        v5 = np.zeros((1, 7))
        v5[0] = [*row, 0.9, 0.1, 0.8]
        v8 = np.array([[*row, 0.09, 0.72]]).T
        raw = np.zeros((8 * 4 + 4 * 2 + 2 * 1, 7))
        # Stride 8, cell 4, 1.
        raw[8 + 4] = [0.5, 0.5, np.log(2.0), 0.0, 0.9, 0.1, 0.8]
        for layout, output in [("YOLOv5", v5), ("YOLOv8", v8), ("YOLOXRaw", raw), ("YOLOEndToEnd", end_to_end)]:
            found = layouts.detect(layout, [output[None]], (0, 0, 64, 32), size, classes, 0.25, 0.45)
            self.assertEqual(len(found), 1, layout)
            np.testing.assert_allclose(found[0], [1, 0.72, 28 / 64, 0.25, 0.25, 0.25], err_msg=layout)

    def test_the_same_object_in_two_outputs(self):
        size, classes = (64, 32), 2
        centre = np.array([[[36 / 64, 12 / 32, 0.25, 0.25]]])
        corners = np.array([[[28 / 64, 8 / 32, 44 / 64, 16 / 32]]])
        logits = np.log(np.array([[[0.1, 0.72]]]) / (1 - np.array([[[0.1, 0.72]]])))
        with_background = np.array([[[0.9, 0.1, 0.72]]])
        for layout, outputs in [
            ("Queries", [logits, centre]),
            ("SSD", [corners, with_background]),
            ("SSD", [with_background[:, :, 1:], corners]),
        ]:
            found = layouts.detect(layout, outputs, (0, 0, 64, 32), size, classes, 0.25, 0.45)
            self.assertEqual(len(found), 1, layout)
            np.testing.assert_allclose(found[0], [1, 0.72, 28 / 64, 0.25, 0.25, 0.25], err_msg=layout)

    def test_suppresses_within_a_class(self):
        boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [20, 0, 30, 10]], dtype=float)
        kept = layouts.suppress(boxes, np.array([0.5, 0.9, 0.6, 0.7]), np.array([0, 0, 1, 0]), 0.45)
        self.assertEqual(list(kept), [1, 3, 2])


class Compare(unittest.TestCase):
    @staticmethod
    def thing(x, label="car", confidence=0.5):
        return {"label": label, "confidence": confidence, "box": {"x": x, "y": 0, "width": 1, "height": 1}}

    def test_counts_partners_once(self):
        first = {("a", 0): [self.thing(0), self.thing(0.01)], ("a", 1): []}
        second = {("a", 0): [self.thing(0), self.thing(0, "bus")], ("a", 1): []}
        totals = compare.compare(first, second, 0.9)
        self.assertEqual((totals["first"], totals["second"], totals["matched"]), (2, 2, 1))
        self.assertEqual(totals["share"], 0.5)

    def test_frames_that_one_lacks_are_told(self):
        self.assertEqual(compare.compare({("a", 0): []}, {}, 0.9)["framesInOneOnly"], 1)


class AveragePrecision(unittest.TestCase):
    def test_two_of_three_found(self):
        thing = Compare.thing
        truth = {0: [thing(0), thing(5), thing(9)]}
        detections = {0: [thing(0, confidence=0.9), thing(20, confidence=0.8), thing(5, confidence=0.7)]}
        result = average_precision.average_precision(truth, detections, 0.5)
        self.assertAlmostEqual(result["car"], 1 / 3 + 1 / 3 * 2 / 3)

    @unittest.skipUnless(GOLDEN.is_dir(), f"no published table at {GOLDEN}")
    def test_the_published_table(self):
        truth = average_precision.read_folder(GOLDEN / "groundtruths")
        detections = average_precision.read_folder(GOLDEN / "detections")
        result = average_precision.average_precision(truth, detections, 0.3)
        self.assertEqual(f"{result['person']:.2%}", "24.57%")


if __name__ == "__main__":
    unittest.main()

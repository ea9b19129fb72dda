"""What a person writes first: one thread a source, cv2.VideoCapture, detect, next frame.

Usage: opencv_loop.py MODEL CLIP SOURCES SECONDS
"""

import time

import cv2

import contest


def watch(clip, detector, end, counts, index):
    capture = cv2.VideoCapture(clip)
    while time.monotonic() < end:
        good, picture = capture.read()
        if not good:
            capture.release()
            capture = cv2.VideoCapture(clip)
            continue
        detector(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        counts[index] += 1
    capture.release()


if __name__ == "__main__":
    contest.run(watch)

"""What a person writes first: one thread a source, cv2.VideoCapture, detect, next frame.

Usage: opencv_loop.py MODEL CLIP SOURCES SECONDS   prints {"frames": N, "seconds": S, "cpu": C}
"""

import json
import sys
import threading
import time

import cv2

from detector import Detector


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


def main():
    model, clip, sources, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    detectors = [Detector(model) for _ in range(sources)]
    counts = [0] * sources
    begin, cpu = time.monotonic(), time.process_time()
    threads = [
        threading.Thread(target=watch, args=(clip, detectors[index], begin + seconds, counts, index))
        for index in range(sources)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({
        "frames": sum(counts),
        "seconds": time.monotonic() - begin,
        "cpu": time.process_time() - cpu,
    }))


if __name__ == "__main__":
    main()

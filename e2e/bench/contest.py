"""What both peer loops do around their own way of reading video: one thread a source, for a time, then the count.

Their arguments are MODEL CLIP SOURCES SECONDS; they print {"frames": N, "seconds": S, "cpu": C}.
"""

import json
import sys
import threading
import time

from detector import Detector


def run(watch):
    """Calls watch(clip, detector, end, counts, index) in a thread a source; end is by time.monotonic()."""
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

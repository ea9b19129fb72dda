"""What a person who knows GStreamer writes: one pipeline a source, one decoder thread, an appsink, detect, next frame.

Usage: appsink_loop.py MODEL CLIP SOURCES SECONDS
"""

import time

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401

import contest  # noqa: E402


def pipeline(clip, detector):
    """Plays the clip, scaled to the detector's width, as RGB into an appsink of one buffer."""
    description = (
        f'filesrc location="{clip}" ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! videoscale ! videoconvert ! '
        f"video/x-raw,format=RGB,width={detector.width},pixel-aspect-ratio=1/1 ! "
        "appsink name=sink sync=false max-buffers=1"
    )
    element = Gst.parse_launch(description)
    element.set_state(Gst.State.PLAYING)
    return element


def watch(clip, detector, end, counts, index):
    player = pipeline(clip, detector)
    sink = player.get_by_name("sink")
    while time.monotonic() < end:
        sample = sink.try_pull_sample(Gst.SECOND)
        if sample is None:
            if sink.is_eos():
                player.set_state(Gst.State.NULL)
                player = pipeline(clip, detector)
                sink = player.get_by_name("sink")
            continue
        shape = sample.get_caps().get_structure(0)
        width, height = shape.get_value("width"), shape.get_value("height")
        buffer = sample.get_buffer()
        good, mapped = buffer.map(Gst.MapFlags.READ)
        if not good:
            continue
        stride = mapped.size // height
        rows = np.frombuffer(mapped.data, np.uint8).reshape(height, stride)
        detector(rows[:, : width * 3].reshape(height, width, 3))
        buffer.unmap(mapped)
        counts[index] += 1
    player.set_state(Gst.State.NULL)


if __name__ == "__main__":
    Gst.init(None)
    contest.run(watch)

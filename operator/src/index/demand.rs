//! What a stream takes and a pod can take before anything was measured.

use crds::{Detection, VideoSource};

use crate::plan::Load;

/// Frames per second of a camera that has not been seen yet.
const ASSUMED_FPS: u64 = 30;

/// Thousandths of a megapixel in a picture that has not been seen yet: 1920 × 1080.
const ASSUMED_MILLI_MEGAPIXELS: u64 = 2_074;

/// What a decoder needs for a frame: microseconds, and microseconds more for each megapixel.
struct Decoder {
    frame: u64,
    megapixel: u64,
}

impl Decoder {
    /// Microseconds of decoder time for a second of `fps` frames.
    const fn frames_a_second(&self, fps: u64, milli_megapixels: u64) -> u64 {
        (self.frame + self.megapixel * milli_megapixels / 1_000) * fps
    }
}

/// NVDEC and H.264, measured on an H200.
const NVDEC_H264: Decoder = Decoder { frame: 120, megapixel: 580 };

/// NVDEC and H.265, measured on an H200.
const NVDEC_H265: Decoder = Decoder { frame: 140, megapixel: 300 };

/// libavcodec with one thread and H.264, on a core of a server (AMD EPYC, GStreamer 1.22): clips of 640 × 360 to
/// 1920 × 1080 at 8 to 160 kbit a frame took 0.4 ms (360p), 0.7 ms (432p), 3.4 ms (720p, the most bits) and 4.7 ms (1080p)
/// a frame. `gst-launch-1.0 filesrc ! qtdemux ! h264parse ! avdec_h264 max-threads=1 ! fakesink`, processor time without
/// that of the same up to the parser. Pods measure the real one.
const CPU_H264: Decoder = Decoder { frame: 100, megapixel: 2_300 };

/// The same with H.265: 1.0 ms (432p) and 5.2 ms (1080p) a frame.
const CPU_H265: Decoder = Decoder { frame: 300, megapixel: 2_400 };

/// A pod on a CPU: one core decodes, the others detect.
const CPU_POD: Load = Load { streams: 32, inferences: 40_000, decode: 1_000_000 };

/// A pod with a GPU of the data centre: one decoder counted, a small detector.
const GPU_POD: Load = Load { streams: 128, inferences: 1_000_000, decode: 1_000_000 };

/// What a pod takes that has not measured itself.
pub(super) fn assumed_capacity(has_gpu: bool) -> Load {
    if has_gpu { GPU_POD } else { CPU_POD }
}

/// What a source takes, by its spec and by what was seen of its pictures.
pub(super) fn of_spec(source: &VideoSource, has_gpu: bool) -> Load {
    let status = source.status.as_ref();
    let milli_megapixels = status
        .and_then(|status| status.resolution.as_deref()?.split_once('x'))
        .and_then(|(width, height)| Some(width.parse::<u64>().ok()? * height.parse::<u64>().ok()? / 1_000))
        .unwrap_or(ASSUMED_MILLI_MEGAPIXELS);
    let decoder = match (has_gpu, status.and_then(|status| status.codec.as_deref())) {
        (false, Some("H265")) => CPU_H265,
        (false, _) => CPU_H264,
        (true, Some("H265")) => NVDEC_H265,
        (true, _) => NVDEC_H264,
    };
    let decode = decoder.frames_a_second(ASSUMED_FPS, milli_megapixels);
    Load { streams: 1, inferences: inferences(&source.spec.detection), decode }
}

/// What a stream takes that asks for nothing special, of a camera that has not been seen yet.
pub(super) fn typical(has_gpu: bool) -> Load {
    let decoder = if has_gpu { NVDEC_H264 } else { CPU_H264 };
    let decode = decoder.frames_a_second(ASSUMED_FPS, ASSUMED_MILLI_MEGAPIXELS);
    Load { streams: 1, inferences: inferences(&Detection::default()), decode }
}

/// Thousandths of an inference per second.
fn inferences(detection: &Detection) -> u64 {
    match (detection.fps, detection.interval) {
        (Some(fps), _) => u64::from(fps.unsigned_abs()) * 1_000,
        (None, Some(interval)) => {
            (1_000_000 / u64::try_from(interval.get().as_millis().max(1)).unwrap_or(u64::MAX)).max(1)
        }
        (None, None) => ASSUMED_FPS * 1_000,
    }
}

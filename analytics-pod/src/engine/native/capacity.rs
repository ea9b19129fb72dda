//! What this machine can do, measured before it serves: the model's runs on all workers and decoding beside them, both
//! flat out, because they share the cores. So both ceilings can be reached at the same time.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use gstreamer as gst;

use super::{clock::ThreadTime, decoder::Decoder};
use crate::{
    model::{InferenceError, Model, Session},
    source::{Failure, Pacing},
};

/// Two seconds of a ball that rolls, H.264 at 640 × 360. What counts is the time that decoding gets, not what it decodes.
const CLIP: &[u8] = include_bytes!("capacity/ball.h264");

/// What each access unit of the clip begins with.
const DELIMITER: [u8; 5] = [0, 0, 0, 1, 9];

/// Between two pictures of the clip.
const INTERVAL: Duration = Duration::from_nanos(33_333_333);

/// Runs of each model that are compared.
const COMPARED_RUNS: u32 = 20;

/// What can be done in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Runs of the model, counted in pictures.
    pub inferences: f64,
    /// Processor time of decoders.
    pub decode: Duration,
}

/// Why it cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The model does not run.
    #[error(transparent)]
    Model(#[from] InferenceError),
    /// Nothing decodes.
    #[error("H.264 cannot be decoded: {0}")]
    Decoder(Failure),
    /// A thread cannot be had, or has failed.
    #[error("a thread of the measurement has failed")]
    Thread,
}

/// Measures for `time`, after every thread is ready. Blocks for a little longer than that, and takes every core.
///
/// # Errors
/// Where the model or the decoder does not work.
pub fn measure(model: &Arc<Model>, workers: usize, time: Duration) -> Result<Capacity, CapacityError> {
    let workers = workers.max(1);
    gst::init().map_err(|_| CapacityError::Thread)?;
    // All of it first, so that a failure leaves no thread at the barrier.
    let sessions = (0..workers).map(|_| model.session()).collect::<Result<Vec<_>, _>>()?;
    let decoders = (0..workers).map(|_| Clip::new()).collect::<Result<Vec<_>, _>>().map_err(CapacityError::Decoder)?;
    let (ready, stop) = (Barrier::new(2 * workers + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let inferring: Vec<_> = sessions
            .into_iter()
            .map(|mut session| {
                let (ready, stop) = (&ready, &stop);
                scope.spawn(move || {
                    let first = run(&mut session);
                    ready.wait();
                    first?;
                    let mut count = 0;
                    while !stop.load(Relaxed) {
                        count += run(&mut session)?;
                    }
                    Ok::<_, InferenceError>(count)
                })
            })
            .collect();
        let decoding: Vec<_> = decoders
            .into_iter()
            .map(|mut clip| {
                let (ready, stop) = (&ready, &stop);
                scope.spawn(move || {
                    ready.wait();
                    let start = ThreadTime::now();
                    while !stop.load(Relaxed) {
                        clip.decode_next();
                    }
                    start.elapsed()
                })
            })
            .collect();
        ready.wait();
        let began = Instant::now();
        thread::sleep(time);
        stop.store(true, Relaxed);
        let (mut runs, mut decode) = (0, Duration::ZERO);
        for thread in inferring {
            runs += thread.join().map_err(|_| CapacityError::Thread)??;
        }
        for thread in decoding {
            decode += thread.join().map_err(|_| CapacityError::Thread)?;
        }
        let took = began.elapsed().as_secs_f64();
        Ok(Capacity { inferences: runs as f64 / took, decode: decode.div_f64(took) })
    })
}

/// How many times as long as `old` a picture takes in `new`, in processor time: the cores may be busy.
///
/// # Errors
/// Where one of them does not run.
pub fn relative_cost(new: &Arc<Model>, old: &Arc<Model>) -> Result<f64, InferenceError> {
    let (mut new, mut old) = (new.session()?, old.session()?);
    let (mut of_new, mut of_old) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..COMPARED_RUNS {
        for (session, spent) in [(&mut new, &mut of_new), (&mut old, &mut of_old)] {
            let start = ThreadTime::now();
            let pictures = run(session)?;
            *spent += start.elapsed() / u32::try_from(pictures).unwrap_or(1).max(1);
        }
    }
    Ok(of_new.as_secs_f64() / of_old.as_secs_f64().max(f64::EPSILON))
}

/// Runs a full batch; how many pictures that is.
fn run(session: &mut Session) -> Result<u64, InferenceError> {
    let info = Arc::clone(session.info());
    let placement = info.input.place(info.input.width, info.input.height);
    let pictures = vec![(placement, info.thresholds.clone()); info.input.max_batch.max(1)];
    session.run(&pictures)?;
    Ok(pictures.len() as u64)
}

/// The clip, again and again.
struct Clip {
    decoder: Decoder,
    units: Vec<gst::Buffer>,
    next: usize,
    time: Duration,
}

impl Clip {
    fn new() -> Result<Self, Failure> {
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .field("alignment", "au")
            .field("width", 640)
            .field("height", 360)
            .build();
        let mut starts: Vec<usize> = CLIP
            .windows(DELIMITER.len())
            .enumerate()
            .filter(|(_, bytes)| *bytes == DELIMITER)
            .map(|(at, _)| at)
            .collect();
        starts.push(CLIP.len());
        let units = starts.windows(2).map(|ends| gst::Buffer::from_slice(&CLIP[ends[0]..ends[1]])).collect();
        Ok(Self { decoder: Decoder::new(&caps, Pacing::Live)?, units, next: 0, time: Duration::ZERO })
    }

    fn decode_next(&mut self) {
        let mut unit = self.units[self.next].copy();
        unit.make_mut().set_pts(gst::ClockTime::try_from(self.time).ok());
        self.next = (self.next + 1) % self.units.len();
        self.time += INTERVAL;
        // Only the time counts that it takes.
        drop(self.decoder.decode(unit));
        drop(self.decoder.pictures());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::model::{ModelSource, ModelSpec, OpenOptions};

    fn starter() -> Arc<Model> {
        let spec = ModelSpec::new("starter", ModelSource::Builtin("starter".to_owned()));
        Model::open(&spec, &OpenOptions::default()).unwrap()
    }

    #[test]
    fn the_clip_is_decoded_picture_by_picture() {
        gst::init().unwrap();
        let mut clip = Clip::new().unwrap();
        assert_eq!(clip.units.len(), 60);
        let mut pictures = 0;
        for _ in 0..3 * clip.units.len() {
            let mut unit = clip.units[clip.next].copy();
            unit.make_mut().set_pts(gst::ClockTime::try_from(clip.time).ok());
            clip.next = (clip.next + 1) % clip.units.len();
            clip.time += INTERVAL;
            clip.decoder.decode(unit).unwrap();
            pictures += clip.decoder.pictures().len();
        }
        clip.decoder.drain();
        pictures += clip.decoder.pictures().len();
        assert_eq!(pictures, 180);
    }

    #[test]
    fn both_are_measured_at_the_same_time() {
        let measured = measure(&starter(), 2, Duration::from_millis(500)).unwrap();
        assert!(measured.inferences > 1.0, "{measured:?}");
        assert!(measured.decode > Duration::ZERO && measured.decode <= Duration::from_secs(2), "{measured:?}");
    }

    #[test]
    fn a_model_costs_as_much_as_itself() {
        let (one, other) = (starter(), starter());
        let ratio = relative_cost(&one, &other).unwrap();
        assert!((0.3..3.0).contains(&ratio), "{ratio}");
    }
}

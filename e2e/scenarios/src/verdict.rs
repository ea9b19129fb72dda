//! What was published, held against what was done to the fleet and against what the cameras sent. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use camera_simulator::SentFrame;
use jiff::{SignedDuration, Timestamp};
use street_scenes::TruthObject;

use crate::ledger::{Frame, Gap, Place};

/// Something that a source may feel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disturbance {
    /// The source.
    pub(crate) source: String,
    /// When it begins.
    pub(crate) from: Timestamp,
    /// When it is over.
    pub(crate) until: Timestamp,
    /// The longest gap that it excuses.
    pub(crate) longest: Duration,
}

/// The gaps of a source above `usual` that are longer than all disturbances together excuse that they touch.
#[must_use]
pub(crate) fn unexcused(source: &str, gaps: &[Gap], usual: f64, disturbances: &[Disturbance]) -> Vec<Gap> {
    let excused = |gap: &Gap| {
        let touches = |one: &&Disturbance| one.source == source && one.from <= gap.to && gap.from <= one.until;
        disturbances.iter().filter(touches).map(|one| one.longest).sum::<Duration>().as_secs_f64().max(usual)
    };
    gaps.iter().copied().filter(|gap| gap.length().as_secs_f64() > excused(gap)).collect()
}

/// The longest time that any source was without a pod while there was one that could take it.
#[derive(Debug, Default)]
pub(crate) struct Unbound {
    since: BTreeMap<String, Timestamp>,
    longest: (f64, String),
}

impl Unbound {
    /// Takes the sources that are without a pod at `now` and could have one.
    pub(crate) fn observe(&mut self, now: Timestamp, sources: BTreeSet<String>) {
        self.since.retain(|source, _| sources.contains(source));
        for source in sources {
            let since = *self.since.entry(source.clone()).or_insert(now);
            let time = now.duration_since(since).as_secs_f64();
            if time > self.longest.0 {
                self.longest = (time, source);
            }
        }
    }

    /// The cluster was not seen for a while: nobody knows what was in between.
    pub(crate) fn forget(&mut self) {
        self.since.clear();
    }

    /// In seconds, and which source it was.
    #[must_use]
    pub(crate) fn longest(&self) -> &(f64, String) {
        &self.longest
    }
}

/// What came of holding the published frames of a source against what its cameras sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Frames that are those of a camera.
    pub(crate) frames: usize,
    /// Frames that no camera sent.
    pub(crate) strange: usize,
    /// Frames of a picture that was in the frame before already.
    pub(crate) repeated: usize,
    /// Objects that were in the pictures, large enough and in view.
    pub(crate) objects: usize,
    /// How many of them were found where they are.
    pub(crate) found: usize,
}

impl std::ops::AddAssign for Truth {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.strange += other.strange;
        self.repeated += other.repeated;
        self.objects += other.objects;
        self.found += other.found;
    }
}

/// The cameras that a source was, each with when it began to be that one, oldest first.
pub(crate) type Addresses = Vec<(Timestamp, usize)>;

/// How far the time of a frame may be from that of its sending: half of what lies between two frames.
const TOLERANCE: SignedDuration = SignedDuration::from_millis(500 / crate::objects::FPS as i64);

/// How long a source may go on with its last camera after it was given another one.
const CHANGE: SignedDuration = SignedDuration::from_secs(5);

/// Objects below this height are not asked for, as a share of the picture's.
const HEIGHT: f32 = 0.2;

/// Objects that are less in view are not asked for, as a share of the object.
const VISIBLE: f32 = 0.5;

/// Intersection over union from which a box is where the object is.
const OVERLAP: f32 = 0.5;

/// Holds the frames of a source, in the order of publication, against what its cameras `sent` and what was `in` their
/// frames.
#[must_use]
pub(crate) fn compare(
    frames: &[Frame],
    addresses: &Addresses,
    sent: impl Fn(usize) -> Vec<SentFrame>,
    inside: impl Fn(usize, u32) -> Vec<TruthObject>,
) -> Truth {
    let sent: BTreeMap<usize, Vec<SentFrame>> = addresses.iter().map(|(_, camera)| (*camera, sent(*camera))).collect();
    let mut truth = Truth::default();
    let mut shown = BTreeSet::new();
    for frame in frames {
        let of_camera = |camera: usize| Some((camera, nearest(sent.get(&camera)?, frame.captured)?));
        let Some((camera, picture)) = cameras_at(addresses, frame.captured).into_iter().find_map(of_camera) else {
            truth.strange += 1;
            continue;
        };
        truth.frames += 1;
        if !shown.insert((camera, picture.sequence)) {
            truth.repeated += 1;
        }
        let objects = inside(camera, picture.frame);
        let expected: Vec<&TruthObject> =
            objects.iter().filter(|object| object.height >= HEIGHT && object.visible >= VISIBLE).collect();
        truth.objects += expected.len();
        truth.found += expected.iter().filter(|object| is_found(object, frame)).count();
    }
    truth
}

/// The cameras that a source may be at a time, the likeliest first.
fn cameras_at(addresses: &Addresses, time: Timestamp) -> Vec<usize> {
    let ended = |index: usize| addresses.get(index + 1).map(|(next, _)| *next);
    let mut cameras: Vec<usize> = addresses
        .iter()
        .enumerate()
        .filter(|(index, (from, _))| *from <= time + TOLERANCE && ended(*index).is_none_or(|end| time <= end + CHANGE))
        .map(|(_, (_, camera))| *camera)
        .collect();
    cameras.reverse();
    cameras
}

/// The frame that was sent at `time`.
fn nearest(sent: &[SentFrame], time: Timestamp) -> Option<SentFrame> {
    let micros = time.as_microsecond();
    let after = sent.partition_point(|frame| (frame.sent_time as i64) < micros);
    let around = [after.checked_sub(1), Some(after)].into_iter().flatten().filter_map(|index| sent.get(index));
    let distance = |frame: &SentFrame| (frame.sent_time as i64).abs_diff(micros);
    around.copied().min_by_key(distance).filter(|frame| distance(frame) <= TOLERANCE.as_micros().unsigned_abs() as u64)
}

fn is_found(object: &TruthObject, frame: &Frame) -> bool {
    let place = Place { x: object.x, y: object.y, width: object.width, height: object.height };
    frame.objects.iter().any(|found| found.label == object.class.name() && overlap(found.place, place) >= OVERLAP)
}

/// Intersection over union.
fn overlap(a: Place, b: Place) -> f32 {
    let along = |a: f32, a_size: f32, b: f32, b_size: f32| ((a + a_size).min(b + b_size) - a.max(b)).max(0.0);
    let common = along(a.x, a.width, b.x, b.width) * along(a.y, a.height, b.y, b.height);
    common / (a.width * a.height + b.width * b.height - common)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use street_scenes::Class;

    use super::*;
    use crate::ledger::Object;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    fn disturbance(from: i64, until: i64, longest: u64) -> Disturbance {
        let longest = Duration::from_millis(longest);
        Disturbance { source: "gate".to_owned(), from: at(from), until: at(until), longest }
    }

    #[test]
    fn a_gap_is_excused_by_what_happened_then_and_no_longer_than_that_takes() {
        let gap = |from, to| Gap { from: at(from), to: at(to) };
        let gaps = [gap(0, 200), gap(1_000, 6_000)];
        let left = |disturbances: &[Disturbance]| unexcused("gate", &gaps, 0.42, disturbances).len();
        assert_eq!(left(&[]), 1);
        assert_eq!(left(&[disturbance(1_500, 11_500, 10_000)]), 0);
        assert_eq!(left(&[disturbance(1_500, 11_500, 4_000)]), 1);
        assert_eq!(left(&[disturbance(1_500, 2_000, 4_000), disturbance(3_000, 9_000, 1_000)]), 0);
        assert_eq!(left(&[disturbance(7_000, 9_000, 10_000)]), 1);
        assert_eq!(left(&[Disturbance { source: "yard".to_owned(), ..disturbance(1_500, 11_500, 10_000) }]), 1);
    }

    #[test]
    fn the_longest_time_without_a_pod_is_that_of_one_source_at_a_stretch() {
        let mut unbound = Unbound::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        for (time, sources) in [(0, &["a"][..]), (1_000, &["a", "b"]), (2_000, &["b"]), (2_500, &["a", "b"])] {
            unbound.observe(at(time), names(sources));
        }
        assert_eq!(unbound.longest(), &(1.5, "b".to_owned()));
        unbound.forget();
        unbound.observe(at(9_000), names(&["b"]));
        assert_eq!(unbound.longest(), &(1.5, "b".to_owned()));
    }

    /// Frames of two cameras, one every 200 ms, the second 100 ms after the first; each has one person, who walks.
    fn sent(camera: usize) -> Vec<SentFrame> {
        let time = |number: u64| (number * 200 + camera as u64 * 100) * 1_000;
        (0..50_u64)
            .map(|sequence| SentFrame { sequence, repetition: 0, frame: sequence as u32, sent_time: time(sequence) })
            .collect()
    }

    fn walker(frame: u32) -> TruthObject {
        let x = frame as f32 / 50.0;
        TruthObject { id: 1, class: Class::Person, x, y: 0.3, width: 0.1, height: 0.4, visible: 1.0 }
    }

    fn frame(number: u64, captured: i64, of: u32) -> Frame {
        let place = Place { x: walker(of).x + 0.01, y: 0.3, width: 0.1, height: 0.4 };
        let objects = [Object { label: "person".to_owned(), place }].into();
        Frame { epoch: 1, session: 1, number, captured: at(captured), published: at(captured + 20), objects }
    }

    fn compared(frames: &[Frame], addresses: &Addresses) -> Truth {
        compare(frames, addresses, sent, |_, frame| vec![walker(frame)])
    }

    #[test]
    fn frames_are_those_that_the_camera_sent() {
        let frames: Vec<_> =
            (0..10_u32).map(|number| frame(number.into(), i64::from(number) * 200 + 15, number)).collect();
        let truth = compared(&frames, &vec![(Timestamp::UNIX_EPOCH, 0)]);
        assert_eq!(truth, Truth { frames: 10, strange: 0, repeated: 0, objects: 10, found: 10 });
    }

    #[test]
    fn other_pictures_show_in_where_the_objects_are() {
        let frames: Vec<_> =
            (0..10_u32).map(|number| frame(number.into(), i64::from(number) * 200, number + 20)).collect();
        assert_eq!(compared(&frames, &vec![(Timestamp::UNIX_EPOCH, 0)]).found, 0);
    }

    #[test]
    fn frames_from_nowhere_and_repeated_ones_are_counted() {
        let frames = [frame(0, 0, 0), frame(1, 10, 0), frame(2, 60_000, 3)];
        let truth = compared(&frames, &vec![(Timestamp::UNIX_EPOCH, 0)]);
        assert_eq!((truth.frames, truth.repeated, truth.strange), (2, 1, 1));
    }

    #[test]
    fn a_source_with_another_address_shows_another_camera() {
        let addresses = vec![(Timestamp::UNIX_EPOCH, 0), (at(2_000), 1)];
        assert_eq!(cameras_at(&addresses, at(1_000)), [0]);
        assert_eq!(cameras_at(&addresses, at(4_000)), [1, 0]);
        assert_eq!(cameras_at(&addresses, at(8_000)), [1]);
        let frames = [frame(0, 1_000, 5), frame(1, 8_100, 40)];
        assert_eq!(compared(&frames, &addresses).found, 2);
    }
}

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    number: u64,
    key_frame: bool,
    at_ms: Option<u64>,
    size: usize,
}

impl Unit for Picture {
    fn is_key_frame(&self) -> bool {
        self.key_frame
    }

    fn timestamp(&self) -> Option<gst::ClockTime> {
        self.at_ms.map(gst::ClockTime::from_mseconds)
    }

    fn size(&self) -> usize {
        self.size
    }
}

type Queue = LiveQueue<&'static str, Picture>;

/// Every 10th picture at 20 per second is a key frame.
fn picture(number: u64) -> Picture {
    Picture { number, key_frame: number.is_multiple_of(10), at_ms: Some(number * 50), size: 1000 }
}

fn push(queue: &mut Queue, numbers: std::ops::Range<u64>) -> Dropped {
    numbers.map(|number| queue.push(picture(number))).fold(Dropped::default(), |all, one| Dropped {
        overflow: all.overflow + one.overflow,
        awaiting_key_frame: all.awaiting_key_frame + one.awaiting_key_frame,
    })
}

fn numbers(queue: &mut Queue) -> Vec<u64> {
    std::iter::from_fn(|| queue.pop())
        .filter_map(|item| match item {
            Item::Unit(picture) => Some(picture.number),
            Item::Format(_) => None,
        })
        .collect()
}

#[test]
fn a_second_waits_and_then_the_newest_key_frame_is_next() {
    let mut queue = Queue::new();
    assert_eq!(push(&mut queue, 0..21), Dropped::default());
    assert_eq!(queue.len(), 21);
    assert_eq!(push(&mut queue, 21..22), Dropped { overflow: 20, awaiting_key_frame: 0 });
    assert_eq!(numbers(&mut queue), [20, 21]);
}

#[test]
fn without_a_key_frame_everything_goes_until_one_comes() {
    let mut queue = Queue::new();
    let mut dropped = 0;
    for number in 0..40 {
        let one = queue.push(Picture { key_frame: number == 0 || number == 30, ..picture(number) });
        dropped += one.overflow + one.awaiting_key_frame;
    }
    assert_eq!(dropped, 30);
    assert_eq!(numbers(&mut queue), (30..40).collect::<Vec<_>>());
}

#[test]
fn a_format_stays_before_what_it_describes() {
    let mut queue = Queue::new();
    queue.push_format("small");
    push(&mut queue, 0..15);
    queue.push_format("large");
    push(&mut queue, 15..25);
    // 0–19 are gone, "small" with them; 20 is large.
    assert_eq!(queue.pop(), Some(Item::Format("large")));
    assert_eq!(numbers(&mut queue), [20, 21, 22, 23, 24]);
}

#[test]
fn a_camera_that_sets_its_clock_loses_nothing() {
    let mut queue = Queue::new();
    for (number, at_ms) in [(0, 0), (1, 50), (2, 3_600_000), (3, 3_600_050), (4, 10), (5, 60)] {
        let picture = Picture { at_ms: Some(at_ms), ..picture(number) };
        assert_eq!(queue.push(picture), Dropped::default(), "{number}");
    }
    assert_eq!(queue.len(), 6);
}

#[test]
fn memory_is_bounded_without_timestamps() {
    let mut queue = Queue::new();
    for number in 0..10_000 {
        queue.push(Picture { at_ms: None, ..picture(number) });
        assert!(queue.len() <= MOST_ENTRIES);
    }
    let mut queue = Queue::new();
    for number in 0..100 {
        queue.push(Picture { key_frame: true, size: 10 << 20, ..picture(number) });
        assert!(queue.bytes <= MOST_BYTES);
    }
}

proptest! {
    /// Whatever comes and whenever it is taken out: order is kept, what follows a gap is a key frame, nothing is older
    /// than a second, and everything is either taken out, waiting, or counted.
    #[test]
    fn nothing_is_lost_uncounted_or_late(
        steps in proptest::collection::vec((0_u64..120, prop::bool::weighted(0.1), 0_u8..4), 1..400),
    ) {
        let mut queue = Queue::new();
        let (mut at_ms, mut taken, mut dropped) = (0, Vec::new(), 0);
        let mut last_number = None;
        let pushed = steps.len() as u64;
        for (number, (gap_ms, key_frame, pops)) in steps.into_iter().enumerate() {
            at_ms += gap_ms;
            let number = number as u64;
            let one = queue.push(Picture { number, key_frame: key_frame || number == 0, at_ms: Some(at_ms), size: 10 });
            dropped += one.overflow + one.awaiting_key_frame;
            for _ in 0..pops {
                let Some(Item::Unit(picture)) = queue.pop() else { break };
                prop_assert!(at_ms - picture.at_ms.unwrap() <= 1000, "late");
                if last_number.is_none_or(|last| last + 1 != picture.number) {
                    prop_assert!(picture.key_frame, "{} after {last_number:?}", picture.number);
                }
                prop_assert!(last_number.is_none_or(|last| last < picture.number));
                last_number = Some(picture.number);
                taken.push(picture.number);
            }
        }
        prop_assert_eq!(taken.len() as u64 + queue.len() as u64 + dropped, pushed);
        prop_assert_eq!(queue.bytes, queue.len() * 10);
    }
}

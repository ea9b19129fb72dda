#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failed() -> AttemptEnd {
    AttemptEnd::Failed(Failure::new(Reason::HostUnreachable, "refused"))
}

/// A machine whose first attempt is under way since 0 s.
fn connecting(recovery: Recovery) -> Machine {
    let mut machine = Machine::new(recovery);
    assert_eq!(machine.state(), StreamState::Idle);
    assert_eq!(machine.tick(s(0), 0, 0.0), Some(Command::Start));
    assert_eq!(machine.state(), StreamState::Connecting);
    machine
}

#[test]
fn a_stall_is_noticed_although_the_attempt_goes_on() {
    let mut machine = connecting(Recovery::default());
    machine.streaming(s(1), 1);
    assert_eq!(machine.tick(s(4), 90, 0.0), None);
    assert_eq!(machine.tick(s(8), 90, 0.0), None);
    assert_eq!(machine.tick(s(9), 90, 0.0), Some(Command::Stop));
    assert_eq!(machine.state(), StreamState::Stalled);
    assert_eq!(machine.last_failure().unwrap().reason, Reason::NoFrames);
    machine.finished(s(10), AttemptEnd::Stopped, 1.0);
    assert_eq!(machine.state(), StreamState::Backoff);
    assert_eq!(machine.last_failure().unwrap().reason, Reason::NoFrames);
    assert_eq!(machine.tick(Duration::from_millis(10_499), 90, 0.0), None);
    assert_eq!(machine.tick(Duration::from_millis(10_500), 90, 0.0), Some(Command::Start));
}

#[test]
fn an_attempt_that_never_delivers_is_stopped() {
    let mut machine = connecting(Recovery::default());
    assert_eq!(machine.next_tick(s(0)), Some(s(15)));
    assert_eq!(machine.tick(s(14), 0, 0.0), None);
    assert_eq!(machine.tick(s(15), 0, 0.0), Some(Command::Stop));
}

#[test]
fn an_attempt_that_does_not_stop_is_abandoned() {
    let mut machine = connecting(Recovery::default());
    machine.streaming(s(1), 1);
    assert_eq!(machine.tick(s(6), 1, 0.0), Some(Command::Stop));
    assert_eq!(machine.tick(s(15), 1, 0.0), None);
    assert_eq!(machine.tick(s(16), 1, 0.0), Some(Command::Abandon));
    assert_eq!(machine.state(), StreamState::Backoff);
    assert_eq!(machine.last_failure().unwrap().reason, Reason::NoFrames);
}

#[test]
fn waits_double_up_to_the_longest_and_start_over_after_ten_seconds_of_frames() {
    let mut machine = connecting(Recovery::default());
    let mut now = s(0);
    let mut waits = Vec::new();
    for attempt in 0..7 {
        if attempt == 6 {
            machine.streaming(now, 0);
            now += s(10);
            assert_eq!(machine.tick(now, 300, 0.0), None);
        }
        machine.finished(now, failed(), 1.0);
        let until = machine.next_tick(now).unwrap();
        waits.push(until.saturating_sub(now).as_millis());
        now = until;
        assert_eq!(machine.tick(now, 0, 1.0), Some(Command::Start));
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000, 500]);
}

#[test]
fn a_camera_that_fails_within_ten_seconds_of_frames_is_not_well() {
    let mut machine = connecting(Recovery::default());
    machine.finished(s(0), failed(), 1.0);
    machine.tick(s(1), 0, 1.0);
    machine.streaming(s(1), 1);
    machine.tick(s(9), 200, 1.0);
    machine.finished(s(9), failed(), 1.0);
    assert_eq!(machine.next_tick(s(9)), Some(s(10)), "the second wait in a row is 1 s");
}

#[test]
fn a_finite_input_ends_and_stays_so() {
    let mut machine = connecting(Recovery::default());
    machine.streaming(s(1), 1);
    machine.finished(s(2), AttemptEnd::Completed, 0.5);
    assert_eq!(machine.outcome(), Some(&Outcome::Completed));
    assert_eq!(machine.next_tick(s(3)), None);
    assert_eq!(machine.tick(s(100), 0, 0.5), None);
}

#[test]
fn attempts_are_limited_where_asked() {
    let mut machine = connecting(Recovery { max_attempts: 2, ..Recovery::default() });
    machine.finished(s(0), failed(), 0.0);
    assert_eq!(machine.tick(s(1), 0, 0.0), Some(Command::Start));
    machine.finished(s(1), failed(), 0.0);
    assert_eq!(machine.state(), StreamState::Ended);
    assert!(matches!(machine.outcome(), Some(Outcome::GaveUp(failure)) if failure.reason == Reason::HostUnreachable));
}

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Frames(u64),
    Streaming,
    Finished(AttemptEnd),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0_u64..20_000).prop_map(Event::Wait),
        (1_u64..100).prop_map(Event::Frames),
        Just(Event::Streaming),
        Just(Event::Finished(AttemptEnd::Stopped)),
        Just(Event::Finished(failed())),
    ];
    proptest::collection::vec(event, 0..200)
}

proptest! {
    /// Whatever happens: at most one attempt is under way, it is stopped only while it is, waits are bounded, and
    /// something is always due later than now unless the source has ended.
    #[test]
    fn never_two_attempts_and_never_idle_for_ever(
        events in events(),
        chance in 0.0..=1.0,
        max_attempts in 0_u32..5,
        initial_ms in 0_u64..10_000,
    ) {
        let recovery = Recovery { max_attempts, initial_backoff: Duration::from_millis(initial_ms), ..Recovery::default() };
        let mut machine = Machine::new(recovery);
        let (mut now, mut received, mut running) = (Duration::ZERO, 0, false);
        for event in events {
            match event {
                Event::Wait(ms) => now += Duration::from_millis(ms),
                Event::Frames(frames) => received += frames,
                Event::Streaming if running => machine.streaming(now, received),
                Event::Finished(end) if running => {
                    machine.finished(now, end, chance);
                    running = false;
                }
                _ => {}
            }
            match machine.tick(now, received, chance) {
                Some(Command::Start) => {
                    prop_assert!(!running);
                    running = true;
                }
                Some(Command::Stop) => {
                    prop_assert!(running);
                    prop_assert_eq!(machine.state(), StreamState::Stalled);
                }
                Some(Command::Abandon) => {
                    prop_assert!(running);
                    running = false;
                }
                None => {}
            }
            let at_work = matches!(machine.state(), StreamState::Connecting | StreamState::Streaming | StreamState::Stalled);
            prop_assert_eq!(running, at_work);
            let due = machine.next_tick(now);
            prop_assert_eq!(due.is_none(), machine.state() == StreamState::Ended);
            prop_assert!(due.is_none_or(|at| at <= now + s(15)));
            if machine.state() == StreamState::Ended {
                prop_assert!(max_attempts > 0);
            }
        }
    }

    /// With nothing but time, a source that has not ended tries again within a bounded time.
    #[test]
    fn a_silent_source_is_tried_again(chance in 0.0..=1.0) {
        let mut machine = connecting(Recovery::default());
        let mut commands = Vec::new();
        let mut now = s(0);
        while now < s(60) && commands.last() != Some(&Command::Start) {
            now = machine.next_tick(now).unwrap();
            commands.extend(machine.tick(now, 0, chance));
        }
        prop_assert_eq!(commands, [Command::Stop, Command::Abandon, Command::Start]);
        prop_assert!(now <= s(15 + 10 + 5));
    }

    #[test]
    fn waits_stay_between_half_and_all(failures in 1_u32..100, chance in 0.0..=1.0) {
        let mut machine = Machine::new(Recovery::default());
        machine.failures = failures;
        let longest = Duration::from_millis(500).saturating_mul(1 << (failures - 1).min(20)).min(s(5));
        let wait = machine.backoff(chance);
        prop_assert!(wait >= longest / 2 && wait <= longest);
    }
}

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
    let mut machine = Machine::new(recovery, 1, false);
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

/// A machine with a fallback that streams since 1 s, after the first URI was refused at 0 s.
fn on_fallback() -> Machine {
    let mut machine = Machine::new(Recovery::default(), 2, true);
    assert_eq!((machine.tick(s(0), 0, 0.0), machine.uri()), (Some(Command::Start), 0));
    machine.finished(s(0), failed(), 1.0);
    assert_eq!((machine.tick(s(0), 0, 0.0), machine.uri()), (Some(Command::Start), 1), "without a wait");
    machine.streaming(s(1), 1);
    machine
}

#[test]
fn a_fallback_streams_until_the_first_answers_again() {
    let mut machine = on_fallback();
    let mut received = 1;
    let mut asked = Vec::new();
    for second in 2..400 {
        received += 30;
        if machine.tick(s(second), received, 0.0) == Some(Command::AskFirst) {
            asked.push(second);
            let answers = asked.len() == 3;
            assert_eq!(machine.first_answered(s(second), answers), answers.then_some(Command::Stop));
            if answers {
                break;
            }
        }
        assert_eq!(machine.state(), StreamState::Streaming);
    }
    assert_eq!(asked, [31, 91, 211], "after 30 s, 60 s and 120 s");
}

#[test]
fn the_first_takes_over_without_a_failure_or_a_wait() {
    let mut machine = on_fallback();
    for second in 2..=31 {
        machine.tick(s(second), second * 30, 0.0);
    }
    let before = machine.last_failure().cloned();
    assert_eq!(machine.first_answered(s(31), true), Some(Command::Stop));
    assert_eq!(machine.tick(s(32), 2000, 0.0), None, "the fallback is still ending");
    machine.finished(s(32), AttemptEnd::Stopped, 1.0);
    assert_eq!((machine.tick(s(32), 2000, 0.0), machine.uri()), (Some(Command::Start), 0));
    assert_eq!(machine.last_failure().cloned(), before);
}

#[test]
fn a_fallback_that_stalls_gives_its_place_to_the_first() {
    let mut machine = on_fallback();
    machine.tick(s(12), 300, 0.0);
    assert_eq!(machine.tick(s(17), 300, 0.0), Some(Command::Stop));
    machine.finished(s(17), AttemptEnd::Stopped, 1.0);
    assert_eq!((machine.tick(s(17), 300, 0.0), machine.uri()), (Some(Command::Start), 0));
}

#[test]
fn attempts_are_counted_in_rounds_where_there_are_fallbacks() {
    let mut machine = Machine::new(Recovery { max_attempts: 2, ..Recovery::default() }, 3, true);
    let mut tried = Vec::new();
    let mut now = s(0);
    while machine.outcome().is_none() {
        if machine.tick(now, 0, 0.0) == Some(Command::Start) {
            tried.push(machine.uri());
            machine.finished(now, failed(), 0.0);
        }
        now += s(1);
    }
    assert_eq!(tried, [0, 1, 2, 0, 1, 2]);
}

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Frames(u64),
    Streaming,
    Finished(AttemptEnd),
    Answered(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0_u64..20_000).prop_map(Event::Wait),
        (1_u64..100).prop_map(Event::Frames),
        Just(Event::Streaming),
        Just(Event::Finished(AttemptEnd::Stopped)),
        Just(Event::Finished(failed())),
        any::<bool>().prop_map(Event::Answered),
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
        uris in 1_usize..4,
        asks in any::<bool>(),
    ) {
        let recovery = Recovery { max_attempts, initial_backoff: Duration::from_millis(initial_ms), ..Recovery::default() };
        let mut machine = Machine::new(recovery, uris, asks);
        let (mut now, mut received, mut running, mut asked) = (Duration::ZERO, 0, false, false);
        for event in events {
            match event {
                Event::Wait(ms) => now += Duration::from_millis(ms),
                Event::Frames(frames) => received += frames,
                Event::Streaming if running => machine.streaming(now, received),
                Event::Finished(end) if running => {
                    machine.finished(now, end, chance);
                    (running, asked) = (false, false);
                }
                Event::Answered(answers) if asked => {
                    asked = false;
                    if machine.first_answered(now, answers).is_some() {
                        prop_assert!(running && answers && machine.uri() > 0);
                    }
                }
                _ => {}
            }
            match machine.tick(now, received, chance) {
                Some(Command::Start) => {
                    prop_assert!(!running);
                    running = true;
                }
                Some(Command::AskFirst) => {
                    prop_assert!(asks && running && !asked && machine.uri() > 0);
                    asked = true;
                }
                Some(Command::Stop) => {
                    prop_assert!(running);
                    prop_assert_eq!(machine.state(), StreamState::Stalled);
                }
                Some(Command::Abandon) => {
                    prop_assert!(running);
                    (running, asked) = (false, false);
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
        let machine = Machine::new(Recovery::default(), 1, false);
        let longest = Duration::from_millis(500).saturating_mul(1 << (failures - 1).min(20)).min(s(5));
        let wait = machine.backoff(failures, chance);
        prop_assert!(wait >= longest / 2 && wait <= longest);
    }
}

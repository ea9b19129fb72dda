#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::*;
use crate::source::Reason;

/// An engine whose attempts follow a script.
#[derive(Default)]
struct Stage {
    stopped: AtomicU64,
    dropped: AtomicU64,
    /// Attempts answer `stop` with `Finished`.
    obedient: bool,
    senders: Mutex<Vec<UnboundedSender<AttemptEvent>>>,
}

struct Actor(Arc<Stage>, UnboundedSender<AttemptEvent>);

impl RunningAttempt for Actor {
    fn stop(&mut self) {
        self.0.stopped.fetch_add(1, Relaxed);
        if self.0.obedient {
            self.1.send(AttemptEvent::Finished(AttemptEnd::Stopped)).unwrap();
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Relaxed);
    }
}

type Started = Result<Box<dyn RunningAttempt>, Failure>;

impl Stage {
    fn start(self: &Arc<Self>, events: UnboundedSender<AttemptEvent>) -> Box<dyn RunningAttempt> {
        self.senders.lock().unwrap().push(events.clone());
        Box::new(Actor(Arc::clone(self), events))
    }
}

fn refused() -> Failure {
    Failure::new(Reason::HostUnreachable, "refused")
}

async fn run(
    recovery: Recovery,
    telemetry: &StreamTelemetry,
    cancel: &CancellationToken,
    mut start: impl FnMut(UnboundedSender<AttemptEvent>) -> Started + Send,
) -> Outcome {
    let key = SourceKey::new("default", "camera");
    let machine = Machine::new(recovery, 1, false);
    let start = move |_, events| std::future::ready(start(events));
    drive(&key, machine, telemetry, cancel, start, || std::future::ready(false)).await
}

#[tokio::test(start_paused = true)]
async fn a_fallback_streams_while_the_first_is_away() {
    let telemetry = Arc::new(StreamTelemetry::default());
    let stage = Arc::new(Stage { obedient: true, ..Stage::default() });
    let cancel = CancellationToken::new();
    let asked = AtomicU64::new(0);
    let tried = Mutex::new(Vec::new());
    let camera = tokio::spawn({
        let (telemetry, cancel) = (Arc::clone(&telemetry), cancel.clone());
        async move {
            // Whoever streams sends frames; the last attempt is let alone for a while.
            while telemetry.attempts() < 3 {
                telemetry.count_received(1000);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        }
    });
    let machine = Machine::new(Recovery::default(), 2, true);
    let start = |uri, events: UnboundedSender<AttemptEvent>| {
        tried.lock().unwrap().push(uri);
        std::future::ready(if tried.lock().unwrap().len() == 1 {
            Err(refused())
        } else {
            events.send(AttemptEvent::Streaming).unwrap();
            Ok(stage.start(events))
        })
    };
    // Answers at the second question.
    let ask = || std::future::ready(asked.fetch_add(1, Relaxed) == 1);
    let key = SourceKey::new("default", "camera");
    assert_eq!(drive(&key, machine, &telemetry, &cancel, start, ask).await, Outcome::Cancelled);
    camera.await.unwrap();
    assert_eq!(*tried.lock().unwrap(), [0, 1, 0]);
    assert_eq!(asked.load(Relaxed), 2);
    assert_eq!(telemetry.uri_index(), 0);
    assert_eq!(telemetry.failures().values().sum::<u64>(), 1, "to be taken over is no failure");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_played_once() {
    let telemetry = StreamTelemetry::default();
    let stage = Arc::new(Stage::default());
    let outcome = run(Recovery::default(), &telemetry, &CancellationToken::new(), |events| {
        events.send(AttemptEvent::Streaming).unwrap();
        events.send(AttemptEvent::Finished(AttemptEnd::Completed)).unwrap();
        Ok(stage.start(events))
    })
    .await;
    assert_eq!(outcome, Outcome::Completed);
    assert_eq!((telemetry.state(), telemetry.attempts()), (StreamState::Ended, 1));
    assert_eq!(stage.dropped.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_is_tried_again_with_growing_waits() {
    let telemetry = StreamTelemetry::default();
    let begin = Instant::now();
    let recovery = Recovery { max_attempts: 6, ..Recovery::default() };
    let outcome = run(recovery, &telemetry, &CancellationToken::new(), |_| Err(refused())).await;
    assert_eq!(outcome, Outcome::GaveUp(refused()));
    assert_eq!(telemetry.attempts(), 6);
    assert_eq!(telemetry.last_failure().as_deref(), Some(&refused()));
    let waited = begin.elapsed().as_millis();
    // 0.5 + 1 + 2 + 4 + 5 s, each at least half and at most all of it.
    assert!((6_250..=12_600).contains(&waited), "{waited} ms");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_attempt_is_stopped_and_another_begins() {
    let telemetry = Arc::new(StreamTelemetry::default());
    let stage = Arc::new(Stage { obedient: true, ..Stage::default() });
    let cancel = CancellationToken::new();
    let camera = tokio::spawn({
        let (telemetry, cancel) = (Arc::clone(&telemetry), cancel.clone());
        async move {
            // Frames for 20 s, then an open socket and silence.
            for _ in 0..200 {
                telemetry.count_received(1000);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            while telemetry.attempts() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        }
    });
    let begin = Instant::now();
    let outcome = run(Recovery::default(), &telemetry, &cancel, |events| {
        events.send(AttemptEvent::Streaming).unwrap();
        Ok(stage.start(events))
    })
    .await;
    camera.await.unwrap();
    assert_eq!(outcome, Outcome::Cancelled);
    assert_eq!(telemetry.last_failure().unwrap().reason, Reason::NoFrames);
    assert_eq!(stage.stopped.load(Relaxed), 2, "the stalled one and the one that was cancelled");
    let seconds = begin.elapsed().as_secs_f64();
    assert!((24.5..27.0).contains(&seconds), "20 s of frames, 5 s of silence, up to 0.5 s of waiting: {seconds}");
    assert_eq!(telemetry.state(), StreamState::Idle);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_stop_is_abandoned() {
    let telemetry = Arc::new(StreamTelemetry::default());
    let stage = Arc::new(Stage::default());
    let recovery = Recovery { max_attempts: 2, ..Recovery::default() };
    let begin = Instant::now();
    let outcome = run(recovery, &telemetry, &CancellationToken::new(), |events| Ok(stage.start(events))).await;
    assert!(matches!(outcome, Outcome::GaveUp(failure) if failure.reason == Reason::NoFrames));
    assert_eq!((stage.stopped.load(Relaxed), stage.dropped.load(Relaxed)), (2, 2));
    assert!(begin.elapsed() < Duration::from_secs(2 * (15 + 10) + 1));
}

#[tokio::test(start_paused = true)]
async fn cancelling_waits_for_the_end_but_not_for_ever() {
    for (obedient, longest) in [(true, Duration::from_millis(1)), (false, CANCEL_TIMEOUT + Duration::from_millis(1))] {
        let telemetry = StreamTelemetry::default();
        let stage = Arc::new(Stage { obedient, ..Stage::default() });
        let cancel = CancellationToken::new();
        let begin = Instant::now();
        let running = run(Recovery::default(), &telemetry, &cancel, |events| Ok(stage.start(events)));
        let cancelling = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(running, cancelling);
        assert_eq!(outcome, Outcome::Cancelled);
        assert_eq!(stage.stopped.load(Relaxed), 1);
        assert!(begin.elapsed() <= Duration::from_secs(1) + longest);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgets_an_attempt_has_failed() {
    struct Forgotten;
    impl RunningAttempt for Forgotten {
        fn stop(&mut self) {}
    }
    let telemetry = StreamTelemetry::default();
    let recovery = Recovery { max_attempts: 1, ..Recovery::default() };
    let outcome = run(recovery, &telemetry, &CancellationToken::new(), |_| Ok(Box::new(Forgotten))).await;
    assert!(matches!(outcome, Outcome::GaveUp(failure) if failure.reason == Reason::PipelineFailed));
}

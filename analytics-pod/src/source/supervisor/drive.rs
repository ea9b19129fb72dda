//! Does what the state machine decides, with a real engine and a real clock.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, Recovery,
    machine::{Command, Machine},
};
use crate::{
    engine::{Attempt, AttemptEnd, AttemptEvent, Engine, RunningAttempt},
    observation::SourceKey,
    source::Failure,
    telemetry::{StreamState, StreamTelemetry},
};

/// The pod has five seconds to end; a source may take this much of them.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(4);

/// Runs attempts at the source `key` on `engine` until it ends for good or `cancel` says so. Keeps `telemetry`'s state,
/// attempts and last failure, and watches its received access units for stalls.
///
/// `attempt` resolves the source anew for each try (credentials and model may have changed) into an attempt with this
/// `telemetry` and the given event sender. Its failure counts as a failed attempt.
pub async fn supervise<F, R>(
    engine: Arc<dyn Engine>,
    key: &SourceKey,
    recovery: Recovery,
    telemetry: &StreamTelemetry,
    cancel: &CancellationToken,
    mut attempt: F,
) -> Outcome
where
    F: FnMut(UnboundedSender<AttemptEvent>) -> R + Send,
    R: Future<Output = Result<Attempt, Failure>> + Send,
{
    let start = move |events| {
        let (engine, attempt) = (Arc::clone(&engine), attempt(events));
        async move { attempt.await.map(|attempt| engine.start(attempt)) }
    };
    drive(key, recovery, telemetry, cancel, start).await
}

/// The attempt under way.
struct Running {
    attempt: Box<dyn RunningAttempt>,
    events: UnboundedReceiver<AttemptEvent>,
}

/// [`supervise`] without the engine: `start` begins an attempt.
async fn drive<F, R>(
    key: &SourceKey,
    recovery: Recovery,
    telemetry: &StreamTelemetry,
    cancel: &CancellationToken,
    mut start: F,
) -> Outcome
where
    F: FnMut(UnboundedSender<AttemptEvent>) -> R + Send,
    R: Future<Output = Result<Box<dyn RunningAttempt>, Failure>> + Send,
{
    let epoch = Instant::now();
    let mut machine = Machine::new(recovery);
    let mut reporter = Reporter { key, telemetry, state: StreamState::Idle, last_failure: None };
    let mut running: Option<Running> = None;
    loop {
        let command = machine.tick(epoch.elapsed(), telemetry.received(), rand::random());
        reporter.report(&machine);
        match command {
            Some(Command::Start) => {
                telemetry.count_attempt();
                let (sender, events) = unbounded_channel();
                let started = tokio::select! {
                    () = cancel.cancelled() => return reporter.cancelled(),
                    started = start(sender) => started,
                };
                match started {
                    Ok(attempt) => running = Some(Running { attempt, events }),
                    Err(failure) => {
                        machine.finished(epoch.elapsed(), AttemptEnd::Failed(failure), rand::random());
                        reporter.report(&machine);
                    }
                }
            }
            Some(Command::Stop) => {
                if let Some(running) = &mut running {
                    running.attempt.stop();
                }
            }
            Some(Command::Abandon) => {
                tracing::error!(source = %key, "an attempt does not stop; it is left to itself and another one begins");
                running = None;
            }
            None => {}
        }
        if let Some(outcome) = machine.outcome() {
            return outcome.clone();
        }
        let next_tick = machine.next_tick(epoch.elapsed()).map(|at| epoch + at);
        let tick = pin!(async {
            match next_tick {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        });
        tokio::select! {
            () = cancel.cancelled() => {
                stop(key, running).await;
                return reporter.cancelled();
            }
            event = next_event(&mut running) => {
                let now = epoch.elapsed();
                match event {
                    AttemptEvent::Streaming => machine.streaming(now, telemetry.received()),
                    AttemptEvent::Finished(end) => {
                        running = None;
                        machine.finished(now, end, rand::random());
                    }
                }
            }
            () = tick => {}
        }
    }
}

/// What happens to the attempt under way; nothing ever where there is none.
async fn next_event(running: &mut Option<Running>) -> AttemptEvent {
    match running {
        // An engine that forgets an attempt without a word has ended it.
        Some(running) => running.events.recv().await.unwrap_or(AttemptEvent::Finished(AttemptEnd::Stopped)),
        None => pending().await,
    }
}

/// Stops the attempt under way and waits for its end.
async fn stop(key: &SourceKey, running: Option<Running>) {
    let Some(Running { mut attempt, mut events }) = running else { return };
    attempt.stop();
    let finished = async {
        while let Some(event) = events.recv().await {
            if matches!(event, AttemptEvent::Finished(_)) {
                break;
            }
        }
    };
    if timeout(CANCEL_TIMEOUT, finished).await.is_err() {
        tracing::warn!(source = %key, "the attempt has not stopped within {} s", CANCEL_TIMEOUT.as_secs());
    }
}

/// Tells telemetry and the log what changed.
struct Reporter<'a> {
    key: &'a SourceKey,
    telemetry: &'a StreamTelemetry,
    state: StreamState,
    last_failure: Option<Failure>,
}

impl Reporter<'_> {
    fn report(&mut self, machine: &Machine) {
        let state = machine.state();
        self.telemetry.set_consecutive_failures(machine.failures());
        if state == self.state {
            return;
        }
        let source = self.key;
        self.telemetry.set_state(state);
        match (state, machine.last_failure()) {
            (StreamState::Stalled | StreamState::Backoff, Some(failure)) => {
                self.telemetry.set_last_failure(failure.clone());
                let attempts = self.telemetry.attempts();
                // A camera that stays dead for the same reason is one line, not one every few seconds.
                if self.last_failure.as_ref() == Some(failure) {
                    tracing::debug!(%source, state = state.as_str(), reason = %failure.reason, attempts, "{}", failure.message);
                } else {
                    tracing::warn!(%source, state = state.as_str(), reason = %failure.reason, attempts, "{}", failure.message);
                    self.last_failure = Some(failure.clone());
                }
            }
            (StreamState::Ended, _) => {
                if let Some(Outcome::GaveUp(failure)) = machine.outcome() {
                    self.telemetry.set_last_failure(failure.clone());
                    let attempts = self.telemetry.attempts();
                    tracing::error!(%source, reason = %failure.reason, attempts, "given up: {}", failure.message);
                } else {
                    tracing::info!(%source, "played to its end");
                }
            }
            (StreamState::Streaming, _) => {
                self.last_failure = None;
                tracing::info!(%source, "streaming");
            }
            _ => tracing::debug!(%source, state = state.as_str(), "state"),
        }
        self.state = state;
    }

    fn cancelled(&self) -> Outcome {
        self.telemetry.set_state(StreamState::Idle);
        tracing::debug!(source = %self.key, "stopped");
        Outcome::Cancelled
    }
}

#[cfg(test)]
mod tests;

//! Does what the state machine decides, with a real engine and a real clock.

use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Alternatives, Outcome, Recovery, ask,
    machine::{Command, Machine},
};
use crate::{
    engine::{Attempt, AttemptEnd, AttemptEvent, Engine, RunningAttempt},
    observation::SourceKey,
    request_id::RequestId,
    source::{Failure, Input, Reason},
    telemetry::{StreamState, StreamTelemetry},
};

/// The pod has five seconds to end; a source may take this much of them.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(4);

/// Runs attempts at the source `key` on `engine` until it ends for good or `cancel` says so. Keeps `telemetry`'s state,
/// attempts and last failure, and watches its received access units for stalls.
///
/// `prepare` completes one of the `alternatives` just before each connection, such as with a login; where it fails, that
/// counts as a failed attempt. `attempt` makes of it an attempt with this `telemetry` and the given event sender.
#[allow(clippy::too_many_arguments, reason = "each is a part of its own of what a source is and lives with")]
pub async fn supervise<F, P>(
    engine: Arc<dyn Engine>,
    key: &SourceKey,
    recovery: Recovery,
    alternatives: Alternatives,
    telemetry: &StreamTelemetry,
    cancel: &CancellationToken,
    prepare: impl Fn(Input) -> P + Clone + Send,
    attempt: F,
) -> Outcome
where
    F: Fn(Input, UnboundedSender<AttemptEvent>) -> Attempt + Sync,
    P: Future<Output = Result<Input, Failure>> + Send,
{
    let Alternatives { inputs, ask_first } = alternatives;
    let Some(first) = inputs.first().cloned() else {
        return Outcome::GaveUp(Failure::new(Reason::Unsupported, "the source has no URI"));
    };
    let machine = Machine::new(recovery, inputs.len(), ask_first);
    let ask = {
        let (first, prepare) = (first.clone(), prepare.clone());
        move || {
            let prepared = prepare(first.clone());
            async move {
                match prepared.await {
                    Ok(input) => ask::answers(input).await,
                    Err(_) => false,
                }
            }
        }
    };
    let attempt = &attempt;
    let start = move |uri: usize, events| {
        let prepared = prepare(inputs.get(uri).unwrap_or(&first).clone());
        let engine = Arc::clone(&engine);
        async move { Ok(engine.start(attempt(prepared.await?, events))) }
    };
    drive(key, machine, telemetry, cancel, start, ask).await
}

/// The attempt under way.
struct Running {
    attempt: Box<dyn RunningAttempt>,
    events: UnboundedReceiver<AttemptEvent>,
}

/// [`supervise`] without the engine: `start` begins an attempt at one of the URIs, `ask` finds out whether the first
/// answers.
async fn drive<F, R, A, Q>(
    key: &SourceKey,
    mut machine: Machine,
    telemetry: &StreamTelemetry,
    cancel: &CancellationToken,
    mut start: F,
    mut ask: A,
) -> Outcome
where
    F: FnMut(usize, UnboundedSender<AttemptEvent>) -> R + Send,
    R: Future<Output = Result<Box<dyn RunningAttempt>, Failure>> + Send,
    A: FnMut() -> Q + Send,
    Q: Future<Output = bool> + Send,
{
    let epoch = Instant::now();
    let mut reporter = Reporter { key, telemetry, state: StreamState::Idle, last_failure: None };
    let mut running: Option<Running> = None;
    let mut question: Option<Pin<Box<Q>>> = None;
    loop {
        let command = machine.tick(epoch.elapsed(), telemetry.received(), rand::random());
        reporter.report(&machine);
        match command {
            Some(Command::Start) => {
                telemetry.set_uri_index(machine.uri());
                telemetry.count_attempt();
                let (sender, events) = unbounded_channel();
                let started = tokio::select! {
                    () = cancel.cancelled() => return reporter.cancelled(),
                    started = start(machine.uri(), sender) => started,
                };
                match started {
                    Ok(attempt) => running = Some(Running { attempt, events }),
                    Err(failure) => {
                        machine.finished(epoch.elapsed(), AttemptEnd::Failed(failure), rand::random());
                        reporter.report(&machine);
                    }
                }
            }
            Some(Command::AskFirst) => question = Some(Box::pin(ask())),
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
                        (running, question) = (None, None);
                        machine.finished(now, end, rand::random());
                        // The next attempt may begin at once.
                        reporter.report(&machine);
                    }
                }
            }
            answers = answer(&mut question) => {
                question = None;
                if machine.first_answered(epoch.elapsed(), answers).is_some() && let Some(running) = &mut running {
                    tracing::info!(source = %key, "the first URI answers again and takes over from the fallback");
                    running.attempt.stop();
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

/// What the first URI says; nothing ever while it is not asked.
async fn answer(question: &mut Option<Pin<Box<impl Future<Output = bool>>>>) -> bool {
    match question {
        Some(question) => question.await,
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
        let request = self.telemetry.request();
        let request_id = request.as_deref().map(RequestId::as_str);
        self.telemetry.set_state(state);
        match (state, machine.last_failure()) {
            (StreamState::Stalled | StreamState::Backoff, Some(failure)) => {
                // A stall is one failure, told when it is seen and not again when the attempt has stopped.
                if self.state != StreamState::Stalled {
                    self.telemetry.set_last_failure(failure.clone());
                }
                let attempts = self.telemetry.attempts();
                let uri = machine.uri();
                // A camera that stays dead for the same reason is one line, not one every few seconds.
                if self.last_failure.as_ref() == Some(failure) {
                    tracing::debug!(%source, state = state.as_str(), reason = %failure.reason, attempts, next_uri_index = uri, request_id, "{}", failure.message);
                } else {
                    tracing::warn!(%source, state = state.as_str(), reason = %failure.reason, attempts, next_uri_index = uri, request_id, "{}", failure.message);
                    self.last_failure = Some(failure.clone());
                }
            }
            (StreamState::Ended, _) => {
                if let Some(Outcome::GaveUp(failure)) = machine.outcome() {
                    self.telemetry.set_last_failure(failure.clone());
                    let attempts = self.telemetry.attempts();
                    tracing::error!(%source, reason = %failure.reason, attempts, request_id, "given up: {}", failure.message);
                } else {
                    tracing::info!(%source, request_id, "played to its end");
                }
            }
            (StreamState::Streaming, _) => {
                self.last_failure = None;
                tracing::info!(%source, uri_index = machine.uri(), request_id, "streaming");
            }
            _ => tracing::debug!(%source, state = state.as_str(), request_id, "state"),
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

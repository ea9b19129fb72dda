//! The states of a source and what leads from one to the next. Pure: time and chance are passed in.

use std::time::Duration;

use super::{Outcome, Recovery};
use crate::{
    engine::AttemptEnd,
    source::{Failure, Reason},
    telemetry::StreamState,
};

/// On top of the stall timeout, until the first frame: connecting takes several round trips, each with a timeout of
/// its own that gives a better reason than "no frames".
const CONNECT_ALLOWANCE: Duration = Duration::from_secs(10);
/// After this long with frames the camera is well again: the next failure counts as the first.
const WELL_AFTER: Duration = Duration::from_secs(10);
/// An attempt that takes longer than this to stop is abandoned.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at the frame counter per stall timeout; a stall is found at most this fraction late.
const LOOKS: u32 = 8;
/// However short the stall timeout.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Start an attempt.
    Start,
    /// Stop the attempt under way; its end follows.
    Stop,
    /// Forget the attempt under way.
    Abandon,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting { since: Duration },
    Streaming { since: Duration, last_frame: Duration, received: u64 },
    Stalled { since: Duration, failure: Failure },
    Backoff { until: Duration },
    Ended(Outcome),
}

/// The state of one source. Times are since any fixed moment and never go back.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    recovery: Recovery,
    phase: Phase,
    /// Failed attempts in a row.
    failures: u32,
    last_failure: Option<Failure>,
}

impl Machine {
    /// A source that is to be started at once.
    pub(super) fn new(recovery: Recovery) -> Self {
        Self { recovery, phase: Phase::Idle, failures: 0, last_failure: None }
    }

    pub(super) fn state(&self) -> StreamState {
        match self.phase {
            Phase::Idle => StreamState::Idle,
            Phase::Connecting { .. } => StreamState::Connecting,
            Phase::Streaming { .. } => StreamState::Streaming,
            Phase::Stalled { .. } => StreamState::Stalled,
            Phase::Backoff { .. } => StreamState::Backoff,
            Phase::Ended(_) => StreamState::Ended,
        }
    }

    /// Why the last attempt that failed did, or why the one under way is being stopped.
    pub(super) fn last_failure(&self) -> Option<&Failure> {
        match &self.phase {
            Phase::Stalled { failure, .. } => Some(failure),
            _ => self.last_failure.as_ref(),
        }
    }

    /// Failed attempts in a row.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// How it ended for good, once it has.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// When to call [`Machine::tick`] next, at the latest; `None`: never.
    pub(super) fn next_tick(&self, now: Duration) -> Option<Duration> {
        match &self.phase {
            Phase::Idle => Some(now),
            Phase::Connecting { since } => Some(*since + self.connect_timeout()),
            Phase::Streaming { last_frame, .. } => {
                let look = (self.recovery.stall_timeout / LOOKS).max(SHORTEST_LOOK);
                Some((*last_frame + self.recovery.stall_timeout).min(now + look))
            }
            Phase::Stalled { since, .. } => Some(*since + STOP_TIMEOUT),
            Phase::Backoff { until } => Some(*until),
            Phase::Ended(_) => None,
        }
    }

    /// The first access unit of the attempt has arrived; `received` have by now.
    pub(super) fn streaming(&mut self, now: Duration, received: u64) {
        if matches!(self.phase, Phase::Connecting { .. }) {
            self.phase = Phase::Streaming { since: now, last_frame: now, received };
        }
    }

    /// Time has passed; `received` access units have arrived by now. `chance` is from 0 to 1.
    pub(super) fn tick(&mut self, now: Duration, received: u64, chance: f64) -> Option<Command> {
        let connect_timeout = self.connect_timeout();
        let stall_timeout = self.recovery.stall_timeout;
        self.note_health();
        match &mut self.phase {
            Phase::Connecting { since } if now >= *since + connect_timeout => Some(self.stall(now, connect_timeout)),
            Phase::Streaming { last_frame, received: seen, .. } => {
                if received != *seen {
                    *seen = received;
                    *last_frame = now;
                }
                (now >= *last_frame + stall_timeout).then(|| self.stall(now, stall_timeout))
            }
            Phase::Stalled { since, failure } if now >= *since + STOP_TIMEOUT => {
                let failure = failure.clone();
                self.fail(now, failure, chance);
                Some(Command::Abandon)
            }
            Phase::Idle => Some(self.start(now)),
            Phase::Backoff { until } if now >= *until => Some(self.start(now)),
            _ => None,
        }
    }

    /// The attempt under way is over.
    pub(super) fn finished(&mut self, now: Duration, end: AttemptEnd, chance: f64) {
        let failure = match (&self.phase, end) {
            // Nothing was under way.
            (Phase::Idle | Phase::Backoff { .. } | Phase::Ended(_), _) => return,
            (Phase::Stalled { failure, .. }, _) => failure.clone(),
            (_, AttemptEnd::Completed) => {
                self.phase = Phase::Ended(Outcome::Completed);
                return;
            }
            (_, AttemptEnd::Failed(failure)) => failure,
            (_, AttemptEnd::Stopped) => {
                Failure::new(Reason::PipelineFailed, "the engine ended the attempt without being asked to")
            }
        };
        self.fail(now, failure, chance);
    }

    fn start(&mut self, now: Duration) -> Command {
        self.phase = Phase::Connecting { since: now };
        Command::Start
    }

    fn connect_timeout(&self) -> Duration {
        self.recovery.stall_timeout + CONNECT_ALLOWANCE
    }

    fn stall(&mut self, now: Duration, waited: Duration) -> Command {
        let message =
            format!("no frame for {} s; check that the camera sends, and the network between", waited.as_secs_f64());
        self.note_health();
        self.phase = Phase::Stalled { since: now, failure: Failure::new(Reason::NoFrames, message) };
        Command::Stop
    }

    /// Forgets earlier failures if frames have come for long enough.
    fn note_health(&mut self) {
        if let Phase::Streaming { since, last_frame, .. } = self.phase
            && last_frame.saturating_sub(since) >= WELL_AFTER
        {
            self.failures = 0;
        }
    }

    fn fail(&mut self, now: Duration, failure: Failure, chance: f64) {
        self.note_health();
        self.failures = self.failures.saturating_add(1);
        self.phase = if self.recovery.max_attempts > 0 && self.failures >= self.recovery.max_attempts {
            Phase::Ended(Outcome::GaveUp(failure.clone()))
        } else {
            Phase::Backoff { until: now + self.backoff(chance) }
        };
        self.last_failure = Some(failure);
    }

    /// From half of the doubled wait to all of it, so that cameras that failed together do not come back together.
    fn backoff(&self, chance: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(30);
        let longest = self.recovery.initial_backoff.saturating_mul(1 << doublings).min(self.recovery.max_backoff);
        longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;

//! The states of a source and what leads from one to the next. Pure: time and chance are passed in.

use std::time::Duration;

use super::{
    Outcome, Recovery,
    turns::{Next, Turns},
};
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

/// While a fallback streams, the first URI is asked after this long whether it answers again.
const FIRST_ASK: Duration = Duration::from_secs(30);
/// Each time in vain, or taken back too early, the next question waits twice as long, up to this.
const LONGEST_ASK: Duration = Duration::from_mins(5);

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Start an attempt at [`Machine::uri`].
    Start,
    /// Find out whether the first URI answers, beside the attempt under way; [`Machine::first_answered`] follows.
    AskFirst,
    /// Stop the attempt under way; its end follows.
    Stop,
    /// Forget the attempt under way.
    Abandon,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting {
        since: Duration,
    },
    Streaming {
        since: Duration,
        last_frame: Duration,
        received: u64,
    },
    Stalled {
        since: Duration,
        failure: Failure,
        was_well: bool,
    },
    /// The first URI answers again; the attempt at the fallback is being stopped.
    Returning {
        since: Duration,
    },
    Backoff {
        until: Duration,
    },
    Ended(Outcome),
}

/// The state of one source. Times are since any fixed moment and never go back.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    recovery: Recovery,
    phase: Phase,
    turns: Turns,
    /// Whether the first URI may be asked while another one streams.
    asks: bool,
    /// When to ask it; `None` while it is being asked, or while there is no reason to.
    ask_at: Option<Duration>,
    /// How long until the next question.
    ask_wait: Duration,
    last_failure: Option<Failure>,
    /// In a row.
    failures: u32,
}

impl Machine {
    /// A source with `uris` URIs that is to be started at once. `asks`: whether the first may be asked while another one
    /// streams.
    pub(super) fn new(recovery: Recovery, uris: usize, asks: bool) -> Self {
        Self {
            recovery,
            phase: Phase::Idle,
            turns: Turns::new(uris),
            asks,
            ask_at: None,
            ask_wait: FIRST_ASK,
            last_failure: None,
            failures: 0,
        }
    }

    /// The URI of the attempt under way, or of the next one: 0 is the first.
    pub(super) fn uri(&self) -> usize {
        self.turns.current()
    }

    pub(super) fn state(&self) -> StreamState {
        match self.phase {
            Phase::Idle => StreamState::Idle,
            Phase::Connecting { .. } | Phase::Returning { .. } => StreamState::Connecting,
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
            Phase::Stalled { since, .. } | Phase::Returning { since } => Some(*since + STOP_TIMEOUT),
            Phase::Backoff { until } => Some(*until),
            Phase::Ended(_) => None,
        }
    }

    /// The first access unit of the attempt has arrived; `received` have by now.
    pub(super) fn streaming(&mut self, now: Duration, received: u64) {
        if matches!(self.phase, Phase::Connecting { .. }) {
            self.phase = Phase::Streaming { since: now, last_frame: now, received };
            self.ask_at = (self.asks && self.turns.current() > 0).then_some(now + self.ask_wait);
        }
    }

    /// The first URI was asked: whether it answers.
    pub(super) fn first_answered(&mut self, now: Duration, answers: bool) -> Option<Command> {
        if !matches!(self.phase, Phase::Streaming { .. }) || self.turns.current() == 0 {
            return None;
        }
        self.ask_wait = (self.ask_wait * 2).min(LONGEST_ASK);
        if !answers {
            self.ask_at = Some(now + self.ask_wait);
            return None;
        }
        self.phase = Phase::Returning { since: now };
        Some(Command::Stop)
    }

    /// Time has passed; `received` access units have arrived by now. `chance` is from 0 to 1.
    pub(super) fn tick(&mut self, now: Duration, received: u64, chance: f64) -> Option<Command> {
        let connect_timeout = self.connect_timeout();
        let stall_timeout = self.recovery.stall_timeout;
        if self.is_well() {
            self.failures = 0;
        }
        match &mut self.phase {
            Phase::Connecting { since } if now >= *since + connect_timeout => Some(self.stall(now, connect_timeout)),
            Phase::Streaming { last_frame, received: seen, .. } => {
                if received != *seen {
                    *seen = received;
                    *last_frame = now;
                }
                if now >= *last_frame + stall_timeout {
                    return Some(self.stall(now, stall_timeout));
                }
                if self.turns.current() == 0 && self.is_well() {
                    self.ask_wait = FIRST_ASK;
                }
                let ask = self.ask_at.is_some_and(|at| now >= at);
                ask.then(|| {
                    self.ask_at = None;
                    Command::AskFirst
                })
            }
            Phase::Stalled { since, failure, was_well } if now >= *since + STOP_TIMEOUT => {
                let (failure, was_well) = (failure.clone(), *was_well);
                self.fail(now, failure, was_well, chance);
                Some(Command::Abandon)
            }
            Phase::Returning { since } if now >= *since + STOP_TIMEOUT => {
                self.back_to_first();
                Some(Command::Abandon)
            }
            Phase::Idle => Some(self.start(now)),
            Phase::Backoff { until } if now >= *until => Some(self.start(now)),
            _ => None,
        }
    }

    /// The attempt under way is over.
    pub(super) fn finished(&mut self, now: Duration, end: AttemptEnd, chance: f64) {
        let was_well = self.is_well();
        let failure = match (&self.phase, end) {
            // Nothing was under way.
            (Phase::Idle | Phase::Backoff { .. } | Phase::Ended(_), _) => return,
            (Phase::Returning { .. }, _) => return self.back_to_first(),
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
        self.fail(now, failure, was_well, chance);
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
        let was_well = self.is_well();
        self.phase = Phase::Stalled { since: now, failure: Failure::new(Reason::NoFrames, message), was_well };
        Command::Stop
    }

    /// Whether frames have come, or had before the stall, for long enough to forget earlier failures.
    fn is_well(&self) -> bool {
        match self.phase {
            Phase::Streaming { since, last_frame, .. } => last_frame.saturating_sub(since) >= WELL_AFTER,
            Phase::Stalled { was_well, .. } => was_well,
            _ => false,
        }
    }

    fn back_to_first(&mut self) {
        self.turns.back_to_first();
        self.phase = Phase::Idle;
    }

    fn fail(&mut self, now: Duration, failure: Failure, was_well: bool, chance: f64) {
        self.failures = if was_well { 1 } else { self.failures.saturating_add(1) };
        self.phase = match self.turns.failed(was_well) {
            Next::AtOnce => Phase::Backoff { until: now },
            Next::AfterRound(rounds) if self.recovery.max_attempts > 0 && rounds >= self.recovery.max_attempts => {
                Phase::Ended(Outcome::GaveUp(failure.clone()))
            }
            Next::AfterRound(rounds) => Phase::Backoff { until: now + self.backoff(rounds, chance) },
        };
        self.last_failure = Some(failure);
    }

    /// From half of the doubled wait to all of it, so that cameras that failed together do not come back together.
    fn backoff(&self, rounds: u32, chance: f64) -> Duration {
        let doublings = rounds.saturating_sub(1).min(30);
        let longest = self.recovery.initial_backoff.saturating_mul(1 << doublings).min(self.recovery.max_backoff);
        longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests;

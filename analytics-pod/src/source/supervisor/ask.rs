//! Finds out whether an input answers, beside what is running.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    source::{Input, Next, Pacing, open},
    telemetry::StreamTelemetry,
};

/// Longer than any time-out of the inputs themselves.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long the question may go on after nobody wants the answer any more.
const POLL: Duration = Duration::from_millis(100);

/// Whether a first frame to start decoding at comes from `input`, over a connection of its own that counts nowhere.
/// Dropping the question ends it.
pub(super) async fn answers(input: Input) -> bool {
    let (answer, answered) = oneshot::channel();
    // Opening and closing inputs blocks.
    let asking = thread::Builder::new().name("source-ask".to_owned()).spawn(move || {
        let deadline = Instant::now() + TIMEOUT;
        let telemetry = Arc::<StreamTelemetry>::default();
        let found = open(&input, Pacing::Live, &telemetry).is_ok_and(|mut units| {
            while Instant::now() < deadline && !answer.is_closed() {
                match units.next(POLL) {
                    Ok(Next::Unit(_)) => return true,
                    Ok(Next::Ended) | Err(_) => return false,
                    Ok(Next::Format(_) | Next::Idle) => {}
                }
            }
            false
        });
        // Nobody listens any more where the question was dropped.
        let _ = answer.send(found);
    });
    if let Err(error) = asking {
        tracing::warn!(%error, "no thread to ask the first URI with");
        return false;
    }
    answered.await.unwrap_or(false)
}

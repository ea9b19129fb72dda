//! What to do next: a pure function from what the cluster looks like to what is to be changed in it.
//!
//! [`plan()`] is called whenever something has changed, and every second. It sums the snapshot up (`fleet`), takes from
//! it which pods serve, which are to be left and which are dead (`health`), and then decides in this order, each step
//! seeing what the steps before have taken:
//!
//! 1. handovers in flight end: warm, too late or no longer needed (`handover`);
//! 2. sources without a pod, on dead pods, and on pods that are to be left are placed, by priority (`place`);
//! 3. a camera that fails is tried from one other pod (`cameras`);
//! 4. pods are made, replaced, ended and deleted (`scale`);
//! 5. streams move to even out the pods (`rebalance`).
//!
//! What must hold whatever happens: a source has one pod or a reason why it has none; no decision fills a pod above what
//! is planned of it; losing a pod moves that pod's sources only; the same input gives the same decisions, in the same
//! order; carried out often enough, there are none left. `tests/` holds the planner to it.
//!
//! Nothing here reads a clock or waits. What one call needs of those before it travels in [`Memory`]; an empty one is
//! fine, so a new leader goes on where the old one ended.

mod cameras;
mod decision;
mod fleet;
mod handover;
mod health;
pub mod limits;
mod load;
mod memory;
mod outcome;
mod place;
mod rebalance;
mod scale;
mod snapshot;

pub use decision::{Allowed, Decision, Outcome, Pending, PendingReason, Reason, Shortage, Standing};
pub use load::{Load, WHOLE};
pub use memory::Memory;
pub use snapshot::{
    Binding, Camera, Declared, Holding, Key, Model, Node, Pod, PodPhase, Refusal, Report, Retirement, Snapshot, Source,
};

use fleet::Fleet;
use health::Health;

#[cfg(test)]
mod tests;

/// What is to be done in the cluster that `snapshot` shows, given what was remembered from the call before.
#[must_use]
pub fn plan(snapshot: &Snapshot, memory: Memory) -> Outcome {
    let mut fleet = Fleet::new(snapshot, memory);
    rebalance::begin_round(&mut fleet);
    handover::settle(&mut fleet);
    place::place(&mut fleet);
    cameras::retry_elsewhere(&mut fleet);
    for model in 0..fleet.models.len() {
        scale::adjust(&mut fleet, model);
        rebalance::even_out(&mut fleet, model);
    }
    outcome::collect(fleet)
}

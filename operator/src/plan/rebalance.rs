//! Evens out the pods of a model, with as few moves as will do, a few at a time.

use super::{
    Camera, Fleet, Load, Reason,
    fleet::{PodState, SourceState},
    limits,
    load::WHOLE,
};

/// Moves in percent of the streams where the model says that none are to be made to even out the pods: for those that
/// scaling down needs.
const DEFAULT_PERCENT: u64 = 9;

/// Gives each model a new budget when its round is over.
pub(super) fn begin_round(fleet: &mut Fleet<'_>) {
    let now = fleet.snapshot.now;
    for model in 0..fleet.models.len() {
        let percent = fleet.models[model].model.rebalance_percent.unwrap_or(DEFAULT_PERCENT);
        let streams = fleet.models[model].sources.len() as u64;
        let memory = fleet.model_memory(model);
        if now >= memory.next_round {
            memory.next_round = now + limits::ROUND;
            memory.gentle_budget = (streams * percent / 100).max(1);
        }
    }
}

/// A move that makes the pods more even.
struct Move {
    source: usize,
    from: usize,
    to: usize,
}

/// Starts the moves that the budgets allow.
pub(super) fn even_out(fleet: &mut Fleet<'_>, model: usize) {
    let state = &fleet.models[model];
    let in_peace = state.unplaced.is_empty()
        && state.pods.iter().map(|&pod| &fleet.pods[pod]).all(|pod| {
            // While streams leave pods for other reasons, what is even changes all the time.
            (pod.leaving.is_none() && !pod.outdated) || pod.bound.is_empty()
        });
    let targets: Vec<usize> = state.pods.iter().copied().filter(|&pod| fleet.pods[pod].is_target()).collect();
    // A pod that is coming changes it as well.
    if state.model.rebalance_percent.is_none() || state.grows || !in_peace || targets.len() < 2 {
        return;
    }
    let loads = targets.iter().map(|&pod| load(&fleet.pods[pod]));
    let mean = loads.clone().sum::<u64>() / targets.len() as u64;
    let limit = limit(mean, &sizes(fleet, model, &targets), targets.len());
    if loads.max().is_none_or(|fullest| fullest <= limit) {
        return;
    }
    while fleet.model_memory(model).gentle_budget > 0 {
        let Some(Move { source, from, to }) = next_move(fleet, &targets, limit) else { return };
        fleet.hand_over(source, from, to, Reason::Rebalance);
        fleet.model_memory(model).gentle_budget -= 1;
    }
}

fn load(pod: &PodState<'_>) -> u64 {
    pod.projected.share_of(pod.ceiling)
}

/// How much of a pod each stream takes, the greatest first.
fn sizes(fleet: &Fleet<'_>, model: usize, targets: &[usize]) -> Vec<u64> {
    let ceiling = fleet.models[model].ceiling;
    let bound = targets.iter().flat_map(|&pod| &fleet.pods[pod].bound);
    let mut sizes: Vec<u64> = bound.map(|&source| fleet.sources[source].demand.share_of(ceiling)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// The load up to which a pod is even enough: 1.15 times the mean, or the least that the fullest pod must have because
/// streams cannot be divided. Never more than a whole pod, while the mean is less.
fn limit(mean: u64, sizes: &[u64], pods: usize) -> u64 {
    let mut sums = vec![0];
    for size in sizes {
        sums.push(sums[sums.len() - 1] + size);
    }
    // Of the `pods` × k + 1 greatest streams, some pod has k + 1.
    let least = (0..).map_while(|k| {
        let count = pods * k + 1;
        (count <= sizes.len()).then(|| sums[count] - sums[count - (k + 1)])
    });
    // Shares are rounded down one by one.
    let least = least.max().map_or(0, |least| least + sizes.len() as u64);
    let even = (mean * limits::EVEN_PERCENT / 100).max(least);
    if mean < WHOLE { even.min(WHOLE) } else { even }
}

fn next_move(fleet: &Fleet<'_>, targets: &[usize], limit: u64) -> Option<Move> {
    let at_rest = |pod: usize| fleet.pods[pod].inbound + fleet.pods[pod].outbound < limits::GENTLE_IN_FLIGHT;
    let mut donors: Vec<(u64, usize)> =
        targets.iter().map(|&pod| (load(&fleet.pods[pod]), pod)).filter(|&(load, _)| load > limit).collect();
    donors.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let emptiest = targets.iter().copied().min_by_key(|&pod| (load(&fleet.pods[pod]), pod))?;
    let receiver = |donor: usize| {
        let others = targets.iter().copied().filter(|&pod| pod != donor && at_rest(pod));
        others.min_by_key(|&pod| (load(&fleet.pods[pod]), pod))
    };
    donors.into_iter().filter(|&(_, donor)| at_rest(donor)).find_map(|(_, from)| {
        let to = receiver(from)?;
        // A pod that is filled above the limit gives again: only where nobody is emptier is that worth it.
        best_stream(fleet, from, to, limit, to == emptiest).map(|source| Move { source, from, to })
    })
}

/// The stream that is best moved: the smallest that leaves both pods within the limit, else the greatest that keeps the
/// receiver within it, else the one that leaves the fuller of the two the least full, if that is less than now.
fn best_stream(fleet: &Fleet<'_>, from: usize, to: usize, limit: u64, above_limit: bool) -> Option<usize> {
    let (donor, receiver) = (&fleet.pods[from], &fleet.pods[to]);
    let now = load(donor);
    let movable = donor.bound.iter().copied().filter(|&source| is_movable(fleet, source));
    let rank = |source: usize| {
        let demand: Load = fleet.sources[source].demand;
        if !receiver.used.plus(demand).fits(receiver.ceiling) {
            return None;
        }
        let donor_then = donor.projected.minus(demand).share_of(donor.ceiling);
        let receiver_then = receiver.projected.plus(demand).share_of(receiver.ceiling);
        if receiver_then <= limit && donor_then <= limit {
            Some((0, receiver_then))
        } else if receiver_then <= limit {
            Some((1, donor_then))
        } else {
            let fuller = receiver_then.max(donor_then);
            // By a hundredth at least, so that rounding never moves a stream to and fro.
            (above_limit && fuller + now / 100 < now).then_some((2, fuller))
        }
    };
    movable.filter_map(|source| Some((rank(source)?, source))).min().map(|(_, source)| source)
}

fn is_movable(fleet: &Fleet<'_>, source: usize) -> bool {
    let SourceState { key, source: spec, wanted, settled, .. } = fleet.sources[source];
    let hold_until = fleet.memory.sources.get(key).map_or(0, |memory| memory.hold_until);
    let bound_at = spec.assignment.as_ref().map_or(0, |assignment| assignment.epoch);
    wanted
        && !settled
        && spec.handover.is_none()
        && !spec.single_connection
        && fleet.snapshot.now >= hold_until
        && fleet.snapshot.now - bound_at >= limits::COOL_DOWN
        && fleet.camera(source) == Camera::Streaming
}

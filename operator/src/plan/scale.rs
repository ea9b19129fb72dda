//! How many pods a model has, and which ones: made, replaced after a change of their template, ended.

use super::{
    Allowed, Decision, Fleet, Health, Load, Reason, Retirement, Shortage,
    fleet::{ModelState, PodState},
    limits,
};

/// Decides about the pods of one model.
pub(super) fn adjust(fleet: &mut Fleet<'_>, model: usize) {
    tidy(fleet, model);
    #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is for one lifetime only")]
    let active = pods(fleet, model, |pod| pod.is_active());
    let outdated = pods(fleet, model, |pod| pod.is_active() && pod.outdated);
    let count = active.len() as u64;
    let new_pods = pods_for_waiting(fleet, model, &active);
    let spec = fleet.models[model].model;
    let least = spec.replicas.unwrap_or(spec.min_pods).min(spec.max_pods);
    let below_least = least.saturating_sub(count);
    let missing = match spec.replicas {
        Some(_) => below_least,
        None => below_least.max(new_pods).min(spec.max_pods.saturating_sub(count)),
    };
    fleet.models[model].enough = count + new_pods;
    fleet.models[model].grows = missing > 0 || active.iter().any(|&pod| !fleet.pods[pod].is_target());
    let missing = missing - keep_retiring(fleet, model, missing);
    let reason = if below_least > 0 { Reason::MinimumPods } else { Reason::ScaleUp };
    create(fleet, model, missing, reason);
    // Pods that are added while others are replaced are not there to stay.
    let base = if outdated.is_empty() {
        fleet.model_memory(model).replacing = None;
        count
    } else {
        let before = count.min(enough(fleet, model));
        let before = *fleet.model_memory(model).replacing.get_or_insert(before);
        before.max(demand(fleet, model).pods(fleet.models[model].ceiling))
    };
    let wanted = spec.replicas.unwrap_or_else(|| (base + new_pods).max(spec.min_pods)).min(spec.max_pods);
    if outdated.is_empty() {
        scale_down(fleet, model, &active, wanted);
    } else {
        replace(fleet, model, &active, &outdated, wanted, missing);
    }
}

fn pods(fleet: &Fleet<'_>, model: usize, suits: impl Fn(&PodState<'_>) -> bool) -> Vec<usize> {
    fleet.models[model].pods.iter().copied().filter(|&pod| suits(&fleet.pods[pod])).collect()
}

/// Deletes what is over, lets go of what is empty, and guards what is in use.
fn tidy(fleet: &mut Fleet<'_>, model: usize) {
    let now = fleet.snapshot.now;
    let mut finished = 0;
    for index in fleet.models[model].pods.clone() {
        let state = &fleet.pods[index];
        let pod = state.key.clone();
        let is_empty = state.bound.is_empty()
            && state.inbound == 0
            && state.pod.report.as_ref().is_none_or(|report| report.sources.is_empty());
        let given_up = state.pod.down_since.is_some_and(|since| now - since >= limits::GIVE_UP_POD);
        let decision = match (state.health, state.leaving) {
            _ if state.pod.deleting && !state.pod.protected => None,
            (Health::Dead(Reason::PodFinished), _) if !state.pod.deleting => {
                finished += 1;
                Some(Decision::DeletePod { pod, reason: Reason::PodFinished })
            }
            (Health::Dead(_), _) if given_up && !state.pod.deleting && state.bound.is_empty() => {
                Some(Decision::DeletePod { pod, reason: Reason::Unresponsive })
            }
            (_, Some(Reason::ScaleDown | Reason::TemplateChanged | Reason::Evacuated)) if is_empty => {
                Some(Decision::DeletePod { pod, reason: Reason::StreamsMoved })
            }
            (_, Some(Reason::NodeDrains | Reason::PodDeleted)) if is_empty && state.pod.protected => {
                Some(Decision::UnprotectPod { pod, reason: Reason::StreamsMoved })
            }
            (Health::Serving, None) if !state.pod.protected => {
                Some(Decision::ProtectPod { pod, reason: Reason::InUse })
            }
            _ => None,
        };
        fleet.decisions.extend(decision);
    }
    let serves = fleet.models[model].pods.iter().any(|&pod| fleet.pods[pod].is_target() && !fleet.pods[pod].outdated);
    let memory = fleet.model_memory(model);
    if finished > 0 {
        let wait = limits::CREATE_BACKOFF.saturating_mul(1 << memory.failures.min(8));
        memory.create_not_before = now + wait.min(limits::CREATE_BACKOFF_MOST);
        memory.failures = memory.failures.saturating_add(1);
    } else if serves {
        memory.failures = 0;
    }
}

/// Pods to make for the sources that found no room: those that are starting take some of them.
fn pods_for_waiting(fleet: &Fleet<'_>, model: usize, active: &[usize]) -> u64 {
    let state = &fleet.models[model];
    let starting = active.iter().map(|&pod| &fleet.pods[pod]).filter(|pod| !pod.is_target());
    let mut bins: Vec<Load> = starting.map(|pod| state.ceiling.minus(pod.used)).collect();
    let before = bins.len();
    for &source in &state.unplaced {
        let SourceLoad { demand, gentle } = waiting(fleet, source);
        if gentle || !demand.fits(state.limit) {
            continue;
        }
        if !state.measured {
            // What is assumed of a pod is a guess: the first one tells how many more are needed.
            return u64::from(active.is_empty());
        }
        match bins.iter_mut().find(|room| demand.fits(**room)) {
            Some(room) => *room = room.minus(demand),
            None => bins.push(state.ceiling.minus(demand)),
        }
    }
    (bins.len() - before) as u64
}

struct SourceLoad {
    demand: Load,
    /// Its pod is only to end because fewer are enough: no other is made for it.
    gentle: bool,
}

fn waiting(fleet: &Fleet<'_>, source: usize) -> SourceLoad {
    let state = &fleet.sources[source];
    let pod = state.pod.map(|pod| &fleet.pods[pod]);
    let lives = pod.is_some_and(|pod| !matches!(pod.health, Health::Dead(_)));
    let gentle = lives && pod.is_some_and(|pod| pod.leaving == Some(Reason::ScaleDown));
    SourceLoad { demand: state.demand, gentle }
}

/// Takes pods back into use that were to end, instead of making new ones.
fn keep_retiring(fleet: &mut Fleet<'_>, model: usize, most: u64) -> u64 {
    if most == 0 || fleet.models[model].model.replicas.is_some() {
        return 0;
    }
    let retiring = pods(fleet, model, |pod| {
        pod.leaving == Some(Reason::ScaleDown)
            && pod.health == Health::Serving
            && !pod.outdated
            && !pod.bound.is_empty()
    });
    let kept: Vec<usize> = retiring.into_iter().take(usize::try_from(most).unwrap_or(usize::MAX)).collect();
    for &pod in &kept {
        let pod = fleet.pods[pod].key.clone();
        fleet.decisions.push(Decision::KeepPod { pod, reason: Reason::ScaleUp });
    }
    kept.len() as u64
}

fn create(fleet: &mut Fleet<'_>, model: usize, count: u64, reason: Reason) {
    let now = fleet.snapshot.now;
    let state = &fleet.models[model];
    let (key, refused) = (state.key, state.model.refusal.is_some());
    if count == 0 || refused || now < fleet.model_memory(model).create_not_before {
        return;
    }
    let mut number = now;
    for _ in 0..count {
        let pod = loop {
            let name = pod_name(&key.name, number);
            number += 1;
            let pod = key.beside(name);
            let planned =
                |decision: &Decision| matches!(decision, Decision::CreatePod { pod: other, .. } if *other == pod);
            if !fleet.snapshot.pods.contains_key(&pod) && !fleet.decisions.iter().any(planned) {
                break pod;
            }
        };
        fleet.decisions.push(Decision::CreatePod { pod, model: key.name.clone(), reason });
    }
}

/// A name that no other pod has had: the model's, shortened to what a label takes, and the moment in base 36.
fn pod_name(model: &str, moment: i64) -> String {
    const LONGEST: usize = 63;
    let mut digits = Vec::new();
    let mut rest = moment.unsigned_abs();
    while rest > 0 {
        digits.extend(char::from_digit((rest % 36) as u32, 36));
        rest /= 36;
    }
    let suffix: String = digits.iter().rev().collect();
    let room = LONGEST.saturating_sub(suffix.len() + 1);
    let start: String = model.chars().take(room).map(|letter| if letter == '.' { '-' } else { letter }).collect();
    format!("{}-{suffix}", start.trim_end_matches('-'))
}

/// Replaces outdated pods: new ones first, and an old one goes when a new one serves.
fn replace(fleet: &mut Fleet<'_>, model: usize, active: &[usize], outdated: &[usize], wanted: u64, being_made: u64) {
    let max_surge = fleet.models[model].model.max_surge;
    let never_served = |pod: &usize| fleet.pods[*pod].health == Health::Starting && fleet.pods[*pod].bound.is_empty();
    let (useless, serving): (Vec<usize>, Vec<usize>) = outdated.iter().partition(|pod| never_served(pod));
    let retiring = pods(fleet, model, |pod| {
        pod.leaving == Some(Reason::TemplateChanged) && !matches!(pod.health, Health::Dead(_))
    });
    let (retiring, all) = (retiring.len() as u64, active.len() as u64 + being_made);
    let current = all - outdated.len() as u64;
    let room = (wanted + max_surge).saturating_sub(all + retiring);
    create(fleet, model, room.min(wanted.saturating_sub(current)), Reason::TemplateChanged);
    for pod in useless {
        retire(fleet, pod, Retirement::Outdated, Reason::TemplateChanged);
    }
    let ready = active.iter().filter(|&&pod| fleet.pods[pod].is_target() && !fleet.pods[pod].outdated).count() as u64;
    let spare = (ready + serving.len() as u64).saturating_sub(wanted).min(max_surge.saturating_sub(retiring));
    let mut serving = serving;
    sort_victims(fleet, &mut serving);
    for pod in serving.into_iter().take(usize::try_from(spare).unwrap_or(usize::MAX)) {
        retire(fleet, pod, Retirement::Outdated, Reason::TemplateChanged);
    }
}

/// Those that cost the least first: without streams, with few, young.
fn sort_victims(fleet: &Fleet<'_>, pods: &mut [usize]) {
    pods.sort_by_key(|&pod| {
        let state = &fleet.pods[pod];
        (state.bound.len() + state.inbound as usize, std::cmp::Reverse(state.pod.created), pod)
    });
}

fn retire(fleet: &mut Fleet<'_>, pod: usize, retirement: Retirement, reason: Reason) {
    let pod = fleet.pods[pod].key.clone();
    fleet.decisions.push(Decision::RetirePod { pod, retirement, reason });
}

/// Ends pods that are too many: at once where their number was set, after a while where fewer are enough.
fn scale_down(fleet: &mut Fleet<'_>, model: usize, active: &[usize], wanted: u64) {
    let now = fleet.snapshot.now;
    let spec = fleet.models[model].model;
    let count = active.len() as u64;
    let too_many = count.saturating_sub(wanted);
    let (surplus, percent) = match spec.replicas {
        Some(_) => (too_many, 100),
        None if too_many > 0 => (too_many, 100),
        None => (count.saturating_sub(enough(fleet, model)), limits::SCALE_DOWN_PERCENT),
    };
    let memory = fleet.model_memory(model);
    if surplus == 0 {
        memory.surplus_since = None;
        return;
    }
    let since = *memory.surplus_since.get_or_insert(now);
    if percent != 100 && now - since < spec.stabilization {
        return;
    }
    let mut victims = active.to_vec();
    sort_victims(fleet, &mut victims);
    let none_wanted = spec.replicas == Some(0);
    let mut rooms: Vec<(usize, Load)> = active
        .iter()
        .copied()
        .filter(|&pod| fleet.pods[pod].is_target())
        .map(|pod| (pod, fleet.pods[pod].ceiling.percent(percent).minus(fleet.pods[pod].used)))
        .collect();
    let mut ended = 0;
    for victim in victims {
        if ended == surplus {
            break;
        }
        let without: Vec<(usize, Load)> = rooms.iter().copied().filter(|&(pod, _)| pod != victim).collect();
        if let Some(left) = absorb(fleet, victim, without).or(none_wanted.then(Vec::new)) {
            rooms = left;
            retire(fleet, victim, Retirement::ScaleDown, Reason::ScaleDown);
            ended += 1;
        }
    }
    if percent == 100 {
        fleet.models[model].blocked = surplus - ended;
    }
    if ended > 0 {
        fleet.model_memory(model).surplus_since = None;
    }
}

/// Pods that would be enough, with some room to spare.
fn enough(fleet: &Fleet<'_>, model: usize) -> u64 {
    let state = &fleet.models[model];
    demand(fleet, model).pods(state.ceiling.percent(limits::SCALE_DOWN_PERCENT)).max(state.model.min_pods)
}

/// What the model's sources take together.
fn demand(fleet: &Fleet<'_>, model: usize) -> Load {
    fleet.models[model].sources.iter().map(|&source| fleet.sources[source].demand).collect()
}

/// The room that is left on other pods once they have taken a pod's streams, if they can.
fn absorb(fleet: &Fleet<'_>, pod: usize, mut rooms: Vec<(usize, Load)>) -> Option<Vec<(usize, Load)>> {
    for &source in &fleet.pods[pod].bound {
        let demand = fleet.sources[source].demand;
        let (_, room) = rooms.iter_mut().find(|(_, room)| demand.fits(*room))?;
        *room = room.minus(demand);
    }
    (fleet.pods[pod].inbound == 0).then_some(rooms)
}

/// What a source of the model lacks, and what would help.
pub(super) fn shortage(fleet: &Fleet<'_>, model: usize, missing: Load) -> Shortage {
    let ModelState { model: spec, unplaced, ceiling, enough, .. } = &fleet.models[model];
    let waiting = unplaced.iter().filter(|&&source| !waiting(fleet, source).gentle).count() as u64;
    let allowed = spec.replicas.map_or(Allowed::MaxPods(spec.max_pods), Allowed::Replicas);
    Shortage { missing, pod: *ceiling, waiting, allowed, enough: *enough }
}

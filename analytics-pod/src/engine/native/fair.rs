//! Who is next: start-time fair queueing (Goyal, Vin and Cheng, 1996) over flows with one waiting frame at most.
//!
//! A frame that begins to wait gets a start tag: the virtual time, or the finish tag of its flow's frame before if
//! that is later. The frame with the least start tag is next; the virtual time becomes its tag, and the flow's finish
//! tag lies 1 ÷ weight after it. A flow that was quiet gains no credit, and one that is always ready gets its share.

use std::{collections::HashMap, hash::Hash};

/// See the module.
#[derive(Debug)]
pub(super) struct FairQueue<K> {
    flows: HashMap<K, Flow>,
    virtual_time: f64,
    arrivals: u64,
}

#[derive(Debug)]
struct Flow {
    weight: f64,
    finish: f64,
    waiting: Option<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    start: f64,
    /// Breaks ties: who came first.
    arrival: u64,
}

impl<K: Copy + Eq + Hash> FairQueue<K> {
    pub(super) fn new() -> Self {
        Self { flows: HashMap::new(), virtual_time: 0.0, arrivals: 0 }
    }

    /// Adds a flow without a waiting frame.
    pub(super) fn add(&mut self, key: K, weight: u32) {
        self.flows.insert(key, Flow { weight: f64::from(weight.max(1)), finish: self.virtual_time, waiting: None });
    }

    /// Forgets a flow and its waiting frame.
    pub(super) fn remove(&mut self, key: K) {
        self.flows.remove(&key);
    }

    /// From the flow's next frame on.
    pub(super) fn set_weight(&mut self, key: K, weight: u32) {
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.weight = f64::from(weight.max(1));
        }
    }

    /// The flow has a frame. One that waits already keeps its place, whichever frame it is by now.
    pub(super) fn wait(&mut self, key: K) {
        if let Some(flow) = self.flows.get_mut(&key)
            && flow.waiting.is_none()
        {
            flow.waiting = Some(Waiting { start: flow.finish.max(self.virtual_time), arrival: self.arrivals });
            self.arrivals += 1;
        }
    }

    /// The flow's frame was taken back.
    pub(super) fn withdraw(&mut self, key: K) {
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.waiting = None;
        }
    }

    /// Takes the next frame among the flows that are `eligible`.
    pub(super) fn take(&mut self, mut eligible: impl FnMut(K) -> bool) -> Option<K> {
        let (key, waiting) = self
            .flows
            .iter()
            .filter_map(|(&key, flow)| Some((key, flow.waiting?)))
            .filter(|&(key, _)| eligible(key))
            .min_by(|(_, a), (_, b)| a.start.total_cmp(&b.start).then(a.arrival.cmp(&b.arrival)))?;
        let flow = self.flows.get_mut(&key)?;
        flow.waiting = None;
        flow.finish = waiting.start + 1.0 / flow.weight;
        self.virtual_time = self.virtual_time.max(waiting.start);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Serves one frame a step. Flow `k` offers a frame every `periods[k]` steps; returns frames served by flow.
    fn simulate(weights: &[u32], periods: &[f64], steps: usize) -> Vec<usize> {
        let mut queue = FairQueue::new();
        for (key, &weight) in weights.iter().enumerate() {
            queue.add(key, weight);
        }
        let mut next: Vec<f64> = (0..weights.len()).map(|key| key as f64 / weights.len() as f64).collect();
        let mut served = vec![0; weights.len()];
        for step in 0..steps {
            let mut waiting = false;
            for (key, next) in next.iter_mut().enumerate() {
                while *next <= step as f64 {
                    queue.wait(key);
                    *next += periods[key];
                }
                waiting |= queue.flows[&key].waiting.is_some();
            }
            match queue.take(|_| true) {
                Some(key) => served[key] += 1,
                None => assert!(!waiting, "a worker idles while a frame waits"),
            }
        }
        served
    }

    proptest! {
        #[test]
        fn equal_flows_under_overload_get_equal_shares(
            periods in prop::collection::vec(0.5_f64..3.9, 4..24),
        ) {
            // Each offers at least as often as its fair share of one frame a step.
            let weights = vec![1; periods.len()];
            let served = simulate(&weights, &periods, 4_000);
            let (least, most) = (*served.iter().min().unwrap_or(&0), *served.iter().max().unwrap_or(&0));
            prop_assert!(most as f64 <= 1.1 * least as f64, "{served:?}");
        }

        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1_u32..8, 2..10)) {
            // Offers come faster than any share.
            let served = simulate(&weights, &vec![0.5; weights.len()], 10_000);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (&weight, &served) in weights.iter().zip(&served) {
                let share = 10_000.0 * f64::from(weight) / total;
                prop_assert!((served as f64 - share).abs() <= 0.1 * share + 2.0, "{served} of {share}");
            }
        }

        #[test]
        fn a_slow_flow_among_fast_ones_loses_nothing(
            others in 1_usize..20,
            weights in prop::collection::vec(1_u32..4, 20),
        ) {
            // It asks for half of its share at the most, so every frame of it is served.
            let total: u32 = weights.iter().take(others).sum::<u32>() + 1;
            let period = f64::from(total) * 2.0;
            let mut all = vec![1];
            all.extend(weights.iter().take(others));
            let mut periods = vec![0.5; all.len()];
            periods[0] = period;
            let served = simulate(&all, &periods, 4_000);
            prop_assert!(served[0] as f64 >= (4_000.0 / period).floor() - 1.0, "{} of {}", served[0], 4_000.0 / period);
        }
    }

    #[test]
    fn a_flow_that_was_quiet_gains_no_credit() {
        let mut queue = FairQueue::new();
        queue.add("busy", 1);
        queue.add("quiet", 1);
        for _ in 0..100 {
            queue.wait("busy");
            assert_eq!(queue.take(|_| true), Some("busy"));
        }
        let mut quiet = 0;
        for _ in 0..10 {
            queue.wait("busy");
            queue.wait("quiet");
            quiet += usize::from(queue.take(|_| true) == Some("quiet"));
        }
        assert!((5..=6).contains(&quiet), "{quiet} of 10");
    }

    #[test]
    fn a_frame_that_is_not_eligible_keeps_its_place() {
        let mut queue = FairQueue::new();
        queue.add(1, 1);
        queue.add(2, 1);
        queue.wait(1);
        queue.wait(2);
        assert_eq!(queue.take(|key| key != 1), Some(2));
        queue.wait(2);
        assert_eq!(queue.take(|_| true), Some(1));
        queue.withdraw(2);
        assert_eq!(queue.take(|_| true), None);
    }
}

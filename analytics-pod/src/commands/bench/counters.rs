//! Counters read at two moments, and what lies between.

use std::{collections::BTreeMap, time::Duration};

use super::report::{SourceFigures, StageFigures};
use crate::{
    observation::SourceKey,
    telemetry::{CpuGroup, DropReason, ProcessError, Stage, Telemetry, cpu_by_group, process_cpu},
};

/// The counters of one source at a moment.
#[derive(Clone, Debug, Default)]
struct SourceCounters {
    received: u64,
    processed: u64,
    dropped: [u64; DropReason::ALL.len()],
    stages: [Duration; Stage::ALL.len()],
}

/// All counters at a moment.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    process_cpu: Duration,
    groups: BTreeMap<CpuGroup, Duration>,
    sources: BTreeMap<SourceKey, SourceCounters>,
}

impl Counters {
    /// Reads them.
    pub(super) fn read(telemetry: &Telemetry) -> Result<Self, ProcessError> {
        let sources = telemetry
            .sources()
            .iter()
            .map(|(key, source)| {
                let counters = SourceCounters {
                    received: source.received(),
                    processed: source.processed(),
                    dropped: DropReason::ALL.map(|reason| source.dropped(reason)),
                    stages: Stage::ALL.map(|stage| source.stage(stage)),
                };
                (key.clone(), counters)
            })
            .collect();
        Ok(Self { process_cpu: process_cpu(), groups: cpu_by_group()?, sources })
    }
}

/// What happened in a span of load, summed over rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    seconds: f64,
    cpu: Duration,
    receive_cpu: Duration,
    sources: BTreeMap<SourceKey, SourceCounters>,
}

impl Load {
    /// Adds what happened from `before` to `after`, `elapsed` apart. `measuring` is CPU that the benchmark itself spent
    /// and the pod did not.
    pub(super) fn add(&mut self, before: &Counters, after: &Counters, elapsed: Duration, measuring: Duration) {
        self.seconds += elapsed.as_secs_f64();
        self.cpu += after.process_cpu.saturating_sub(before.process_cpu + measuring);
        let receive = |counters: &Counters| counters.groups.get(&CpuGroup::Receive).copied().unwrap_or_default();
        self.receive_cpu += receive(after).saturating_sub(receive(before));
        let nothing = SourceCounters::default();
        for (key, after) in &after.sources {
            let before = before.sources.get(key).unwrap_or(&nothing);
            let sum = self.sources.entry(key.clone()).or_default();
            sum.received += after.received.saturating_sub(before.received);
            sum.processed += after.processed.saturating_sub(before.processed);
            for (sum, (after, before)) in sum.dropped.iter_mut().zip(after.dropped.iter().zip(before.dropped)) {
                *sum += after.saturating_sub(before);
            }
            for (sum, (after, before)) in sum.stages.iter_mut().zip(after.stages.iter().zip(before.stages)) {
                *sum += after.saturating_sub(before);
            }
        }
    }

    /// Seconds of load.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// CPU seconds per second.
    pub(super) fn cores_used(&self) -> f64 {
        self.cpu.as_secs_f64() / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Frames processed.
    pub(super) fn processed(&self) -> u64 {
        self.sources.values().map(|source| source.processed).sum()
    }

    /// Frames received.
    pub(super) fn received(&self) -> u64 {
        self.sources.values().map(|source| source.received).sum()
    }

    /// Milliseconds of CPU per processed frame.
    pub(super) fn cpu_ms_per_frame(&self) -> f64 {
        self.per_frame(self.cpu)
    }

    /// The same less the model's runs.
    pub(super) fn cpu_ms_per_frame_outside_inference(&self) -> f64 {
        self.per_frame(self.cpu.saturating_sub(self.stage(Stage::Infer)))
    }

    /// The fastest source's processed rate over the slowest's; infinite where one processed nothing.
    pub(super) fn fairness(&self) -> f64 {
        let rates = || self.sources.values().map(|source| source.processed as f64);
        match (rates().reduce(f64::max), rates().reduce(f64::min)) {
            (Some(fastest), Some(slowest)) if fastest > 0.0 => fastest / slowest,
            _ => 1.0,
        }
    }

    /// One by one, by name; latencies are the caller's to add.
    pub(super) fn source_figures(&self) -> Vec<(SourceKey, SourceFigures)> {
        let figures = |(key, source): (&SourceKey, &SourceCounters)| {
            let dropped = DropReason::ALL.iter().zip(source.dropped).filter(|(_, count)| *count > 0);
            let figures = SourceFigures {
                name: key.name.to_string(),
                received_fps: source.received as f64 / self.seconds,
                processed_fps: source.processed as f64 / self.seconds,
                dropped: dropped.map(|(reason, count)| (reason.as_str().to_owned(), count)).collect(),
                latency_ms: None,
            };
            (key.clone(), figures)
        };
        self.sources.iter().map(figures).collect()
    }

    /// CPU by stage, most expensive first, then what is waited; and the share that is neither receiving, decoding,
    /// converting nor inferring, percent.
    pub(super) fn stages(&self) -> (Vec<StageFigures>, f64) {
        let share = |time: Duration| 100.0 * time.as_secs_f64() / self.cpu.as_secs_f64().max(f64::MIN_POSITIVE);
        let figure = |name: &str, time: Duration, costs: bool| StageFigures {
            stage: name.to_owned(),
            ms_per_frame: self.per_frame(time),
            percent: costs.then(|| share(time)),
        };
        let mut stages = vec![figure("receive", self.receive_cpu, true)];
        let mut accounted = self.receive_cpu;
        for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::Wait) {
            accounted += self.stage(stage);
            stages.push(figure(stage.as_str(), self.stage(stage), true));
        }
        stages.push(figure("other", self.cpu.saturating_sub(accounted), true));
        stages.sort_by(|a, b| b.ms_per_frame.total_cmp(&a.ms_per_frame));
        stages.push(figure(Stage::Wait.as_str(), self.stage(Stage::Wait), false));
        let work = self.receive_cpu + [Stage::Decode, Stage::Convert, Stage::Infer].map(|s| self.stage(s)).iter().sum();
        (stages, share(self.cpu.saturating_sub(work)))
    }

    fn stage(&self, stage: Stage) -> Duration {
        self.sources.values().map(|source| source.stages[stage as usize]).sum()
    }

    fn per_frame(&self, time: Duration) -> f64 {
        1000.0 * time.as_secs_f64() / (self.processed().max(1)) as f64
    }
}

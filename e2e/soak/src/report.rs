//! What a soak found, and whether that is good.

use std::{collections::BTreeMap, fmt::Write as _};

use analytics_pod::trend::Trend;
use serde::Serialize;

use crate::{faults::Outcomes, ledger::Counters, requests::Row, usage::Usage};

/// How much more memory the pod may have after the last cycle than after the first tenth, in bytes.
const CYCLE_MEMORY: u64 = 5 << 20;

/// How long 99 of 100 requests may take, in milliseconds.
pub(crate) const REQUEST_LIMIT_MS: f64 = 50.0;

/// Memory over the time of the soak.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    /// Anonymous memory in bytes at the first look, the last, and the highest.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) highest: u64,
    /// Through the means of the blocks of [`blocks`], in bytes a minute.
    pub(crate) trend: Option<Trend>,
}

/// The part of the run that tells nothing of a slope: caches fill and every fault is met for the first time.
const WARM_UP: f64 = 1.0 / 3.0;

/// Looks that follow one another are alike; a line through them all would seem far surer than it is. Through the means
/// of this many blocks it is about as sure as it says.
const BLOCKS: usize = 24;

impl Memory {
    /// Of looks at `(seconds, bytes)`.
    pub(crate) fn of(looks: &[(f64, f64)]) -> Self {
        let bytes = |look: Option<&(f64, f64)>| look.map_or(0, |look| look.1 as u64);
        Self {
            first: bytes(looks.first()),
            last: bytes(looks.last()),
            highest: looks.iter().map(|look| look.1 as u64).max().unwrap_or_default(),
            trend: Trend::through(&blocks(looks)),
        }
    }
}

/// The means of [`BLOCKS`] equal parts of what comes after the warm-up.
fn blocks(looks: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let settled = &looks[(looks.len() as f64 * WARM_UP) as usize..];
    let mean = |block: &[(f64, f64)]| {
        let count = block.len() as f64;
        (block.iter().map(|look| look.0).sum::<f64>() / count, block.iter().map(|look| look.1).sum::<f64>() / count)
    };
    settled.chunks(settled.len().div_ceil(BLOCKS).max(1)).map(mean).collect()
}

/// Sources that came and went.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cycles {
    pub(crate) done: u32,
    /// The cycle after which the pod was looked at first, and what it took then and at the end, at rest.
    pub(crate) baseline_after: u32,
    pub(crate) baseline: Usage,
    pub(crate) end: Usage,
    /// What the other cameras sent and what the pod received of it meanwhile, by camera.
    pub(crate) others: BTreeMap<String, Others>,
}

/// One of the sources that ran on while others came and went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Others {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) failures: u64,
}

/// Everything. Its JSON form is a stable interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    /// The end was asked for before it came.
    pub(crate) interrupted: bool,
    pub(crate) memory: Memory,
    pub(crate) first: Usage,
    pub(crate) last: Usage,
    /// CPU seconds per second.
    pub(crate) cores_used: f64,
    pub(crate) faults: Option<Outcomes>,
    pub(crate) cycles: Option<Cycles>,
    pub(crate) requests: Vec<Row>,
    pub(crate) sources: BTreeMap<String, Counters>,
    /// What went wrong; empty: nothing did.
    pub(crate) problems: Vec<String>,
}

impl Report {
    /// Adds to the problems what the figures say.
    pub(crate) fn judge(&mut self) {
        let mut found = Vec::new();
        if self.memory.trend.is_some_and(|trend| trend.rises()) {
            found.push("memory rises, and more than chance explains".to_owned());
        }
        if let Some(all) = self.requests.first().filter(|all| all.count > 0 && all.p99_ms >= REQUEST_LIMIT_MS) {
            found.push(format!("99 of 100 requests took up to {:.1} ms, not below {REQUEST_LIMIT_MS} ms", all.p99_ms));
        }
        for lost in self.faults.iter().flat_map(|faults| &faults.lost) {
            found.push(format!("did not come back: {lost}"));
        }
        if let Some(cycles) = &self.cycles {
            found.extend(cycles.problems());
        }
        self.problems.extend(found);
    }

    /// The report for people.
    pub(crate) fn to_table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:.1} min{}, {} sources, {:.2} cores used",
            self.seconds / 60.0,
            if self.interrupted { " (interrupted)" } else { "" },
            self.sources.len(),
            self.cores_used
        );
        let Memory { first, last, highest, trend } = &self.memory;
        // Where sources only came and went, the cycles tell of it.
        if *highest > 0 {
            let _ = writeln!(
                text,
                "memory       {} MiB of its own at first, {} at the end, {} at the highest; {} MiB resident at the end",
                mebibytes(*first),
                mebibytes(*last),
                mebibytes(*highest),
                mebibytes(self.last.resident)
            );
        }
        if let Some(trend) = trend {
            let kibibytes_an_hour = |a_minute: f64| a_minute * 60.0 / 1024.0;
            let _ = writeln!(
                text,
                "             {:+.0} ± {:.0} KiB an hour after the first third: {}",
                kibibytes_an_hour(trend.per_minute),
                kibibytes_an_hour(trend.standard_error),
                if trend.rises() { "it rises" } else { "not distinguishable from no rise" }
            );
        }
        let _ = writeln!(text, "threads      {} at first, {} at the end", self.first.threads, self.last.threads);
        let _ =
            writeln!(text, "descriptors  {} at first, {} at the end", self.first.descriptors, self.last.descriptors);
        if let Some(faults) = &self.faults {
            let _ = writeln!(
                text,
                "faults       {}, of which {} were overcome, the slowest in {:.1} s",
                faults.faults,
                faults.recovered,
                faults.longest_recovery_ms as f64 / 1000.0
            );
        }
        if let Some(cycles) = &self.cycles {
            cycles.tell(&mut text);
        }
        let _ = writeln!(text, "\n{:36} {:>8} {:>9} {:>9} {:>9}", "REQUEST", "count", "p50 ms", "p99 ms", "max ms");
        for Row { request, count, p50_ms, p99_ms, max_ms } in &self.requests {
            let _ = writeln!(text, "{request:36} {count:8} {p50_ms:9.1} {p99_ms:9.1} {max_ms:9.1}");
        }
        let _ = writeln!(text, "\n{:12} {:>9} {:>9} {:>9}  dropped", "SOURCE", "received", "decoded", "processed");
        for (source, counters) in &self.sources {
            let dropped: Vec<_> = counters.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            let dropped = if dropped.is_empty() { "-".to_owned() } else { dropped.join(", ") };
            let Counters { received, decoded, processed, .. } = counters;
            let _ = writeln!(text, "{source:12} {received:9} {decoded:9} {processed:9}  {dropped}");
        }
        let _ = writeln!(text);
        for problem in &self.problems {
            let _ = writeln!(text, "WRONG  {problem}");
        }
        if self.problems.is_empty() {
            let _ = writeln!(text, "nothing was lost and every sum is right");
        }
        text
    }
}

impl Cycles {
    fn problems(&self) -> Vec<String> {
        let Self { baseline, end, .. } = self;
        let mut found = Vec::new();
        let grown = end.anonymous.saturating_sub(baseline.anonymous);
        if grown > CYCLE_MEMORY {
            found.push(format!("the cycles left {} MiB of memory", mebibytes(grown)));
        }
        for (what, before, after) in
            [("threads", baseline.threads, end.threads), ("descriptors", baseline.descriptors, end.descriptors)]
        {
            if before != after {
                found.push(format!("there were {before} {what} after the first cycles and {after} after the last"));
            }
        }
        for (camera, Others { sent, received, failures }) in &self.others {
            if sent != received || *failures > 0 {
                found.push(format!(
                    "while others came and went, {camera} sent {sent} frames, of which {received} were received, \
                     with {failures} failed attempts"
                ));
            }
        }
        found
    }

    fn tell(&self, text: &mut String) {
        let Self { done, baseline_after, baseline, end, others } = self;
        let _ = writeln!(
            text,
            "cycles       {done}; after {baseline_after} and after the last: {} and {} MiB, {} and {} threads, {} and {} \
             descriptors",
            mebibytes(baseline.anonymous),
            mebibytes(end.anonymous),
            baseline.threads,
            end.threads,
            baseline.descriptors,
            end.descriptors
        );
        let (sent, received) = others.values().fold((0, 0), |sum, one| (sum.0 + one.sent, sum.1 + one.received));
        let _ = writeln!(
            text,
            "             meanwhile the others' cameras sent {sent} frames and {received} were received"
        );
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(mebibytes: u64, threads: u64) -> Usage {
        Usage { anonymous: mebibytes << 20, resident: mebibytes << 21, threads, descriptors: 60, ..Usage::default() }
    }

    fn example() -> Report {
        let looks: Vec<_> = (0..360).map(|n| (f64::from(n) * 10.0, 2.0e8 + f64::from(n % 7) * 1e5)).collect();
        let counters = Counters {
            received: 54_000,
            decoded: 53_990,
            processed: 53_900,
            dropped: [("AwaitingKeyFrame".to_owned(), 10), ("Superseded".to_owned(), 90)].into(),
            ..Counters::default()
        };
        let row = |request, count| Row { request, count, p50_ms: 1.25, p99_ms: 7.5, max_ms: 31.0 };
        Report {
            seconds: 3600.0,
            interrupted: false,
            memory: Memory::of(&looks),
            first: usage(190, 30),
            last: usage(191, 30),
            cores_used: 0.62,
            faults: Some(Outcomes { faults: 140, recovered: 140, longest_recovery_ms: 4200, lost: Vec::new() }),
            cycles: Some(Cycles {
                done: 2000,
                baseline_after: 200,
                baseline: usage(190, 30),
                end: usage(192, 30),
                others: [("camera-1".to_owned(), Others { sent: 900, received: 900, failures: 0 })].into(),
            }),
            requests: vec![row("all", 36_000), row("GET /metrics", 4_000)],
            sources: [("camera-1".to_owned(), counters)].into(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn the_table_says_everything() {
        let mut report = example();
        report.judge();
        insta::assert_snapshot!(report.to_table());
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        type Change = fn(&mut Report);
        let wrong: [(&str, Change); 6] = [
            ("memory rises", |report| {
                let looks: Vec<_> = (0..360).map(|n| (f64::from(n) * 10.0, 2.0e8 + f64::from(n) * 1e4)).collect();
                report.memory = Memory::of(&looks);
            }),
            ("took up to 50.0 ms", |report| report.requests[0].p99_ms = 50.0),
            ("did not come back: camera-2 after Die", |report| {
                report.faults = Some(Outcomes { lost: vec!["camera-2 after Die".into()], ..Outcomes::default() });
            }),
            ("left 6.0 MiB", |report| report.cycles = cycles(report, |cycles| cycles.end = usage(196, 30))),
            ("30 threads after the first cycles and 31", |report| {
                report.cycles = cycles(report, |cycles| cycles.end.threads = 31);
            }),
            ("of which 899 were received", |report| {
                report.cycles = cycles(report, |cycles| {
                    cycles.others.values_mut().for_each(|one| one.received = 899);
                });
            }),
        ];
        for (said, change) in wrong {
            let mut report = example();
            change(&mut report);
            report.judge();
            let problems = report.problems.join("; ");
            assert!(problems.contains(said) && report.problems.len() == 1, "{said}: {problems}");
        }
    }

    fn cycles(report: &Report, change: fn(&mut Cycles)) -> Option<Cycles> {
        let mut cycles = report.cycles.clone();
        cycles.iter_mut().for_each(change);
        cycles
    }

    #[test]
    fn what_wanders_and_comes_back_does_not_rise() {
        // A saw tooth of two minutes: looks beside one another are alike.
        let looks: Vec<_> = (0..900).map(|n| (f64::from(n), 2.0e8 + f64::from(n % 120) * 1e4)).collect();
        let trend = Memory::of(&looks).trend;
        assert!(trend.is_some_and(|trend| !trend.rises()), "{trend:?}");
        assert_eq!(Memory::of(&[(0.0, 1.0)]).trend, None);
        assert_eq!(Memory::of(&[]), Memory::default());
    }
}

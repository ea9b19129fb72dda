//! What a process takes of the machine.

use std::time::Duration;

use procfs::{
    ProcError,
    process::{MMapExtension, Process},
};
use serde::Serialize;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Bytes that the process itself has written. What is judged: how much of its libraries is in memory is up to the
    /// kernel, and to the other processes that use them.
    pub(crate) anonymous: u64,
    /// Bytes, shared pages counted whole.
    pub(crate) resident: u64,
    /// Bytes; shared pages divided among the processes that share them.
    pub(crate) proportional: u64,
    pub(crate) threads: u64,
    /// Open file descriptors.
    pub(crate) descriptors: u64,
    /// CPU time so far, user and system.
    #[serde(skip)]
    pub(crate) cpu: Duration,
}

impl Usage {
    /// Looks at the process `id`. The kernel walks all its pages for it.
    pub(crate) fn of(id: u32) -> Result<Self, ProcError> {
        let process = Process::new(i32::try_from(id).unwrap_or(i32::MAX))?;
        let stat = process.stat()?;
        let rollup = process.smaps_rollup()?;
        let bytes = |name: &str| {
            let of = |extension: &MMapExtension| extension.map.get(name).copied();
            rollup.memory_map_rollup.0.iter().filter_map(|map| of(&map.extension)).sum()
        };
        let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second().max(1) as f64;
        Ok(Self {
            anonymous: bytes("Anonymous"),
            resident: bytes("Rss"),
            proportional: bytes("Pss"),
            threads: u64::try_from(stat.num_threads).unwrap_or_default(),
            descriptors: process.fd_count()? as u64,
            cpu: Duration::from_secs_f64(ticks),
        })
    }

    /// The median of each figure; `None` without any.
    pub(crate) fn median(looks: &[Self]) -> Option<Self> {
        let median = |of: fn(&Self) -> u64| {
            let mut sorted: Vec<u64> = looks.iter().map(of).collect();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied()
        };
        Some(Self {
            anonymous: median(|look| look.anonymous)?,
            resident: median(|look| look.resident)?,
            proportional: median(|look| look.proportional)?,
            threads: median(|look| look.threads)?,
            descriptors: median(|look| look.descriptors)?,
            cpu: looks.last()?.cpu,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn this_process_takes_something_of_everything() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.proportional > 0 && usage.proportional <= usage.resident, "{usage:?}");
        assert!(usage.anonymous > 0 && usage.anonymous <= usage.resident, "{usage:?}");
        assert!(usage.threads >= 1 && usage.descriptors >= 3, "{usage:?}");
    }

    #[test]
    fn an_outlier_does_not_move_the_median() {
        let look = |threads, proportional| Usage { proportional, threads, ..Usage::default() };
        let median = Usage::median(&[look(9, 10), look(8, 500), look(9, 11)]).unwrap();
        assert_eq!((median.threads, median.proportional), (9, 11));
        assert_eq!(Usage::median(&[]), None);
    }
}

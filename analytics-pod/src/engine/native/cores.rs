//! How many threads to use on the cores that the process really has.

use std::num::NonZero;

/// Cores that this process may use: the smaller of its scheduling affinity and its control group's processor quota
/// (versions 1 and 2, every level up to the root, fractions rounded down), at least 1. A container with two cores of
/// a 64-core node gets 2. This is what the standard library looks up on Linux.
#[must_use]
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// How the detector uses the cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPolicy {
    /// Threads that each run a model on a frame of their own.
    pub workers: usize,
    /// Threads within a run.
    pub intra_op_threads: usize,
    /// Why, for a person.
    pub why: String,
}

impl ThreadPolicy {
    /// One worker a core and one thread a run. Two threads in a run cost 1.5 to 2 times the processor time for at most
    /// 1.2 times the rate of one (measured with ONNX Runtime 1.31, models of 6 to 52 ms); frames side by side scale
    /// with the cores.
    #[must_use]
    pub fn for_cores(cores: usize) -> Self {
        let workers = cores.max(1);
        let why = format!("{workers} {} available; one frame a core", if workers == 1 { "core" } else { "cores" });
        Self { workers, intra_op_threads: 1, why }
    }

    /// For the cores that this process has.
    #[must_use]
    pub fn detect() -> Self {
        Self::for_cores(available_cores())
    }

    /// As many workers as the user says.
    #[must_use]
    pub fn with_workers(workers: NonZero<usize>) -> Self {
        Self { workers: workers.get(), intra_op_threads: 1, why: "set by the user".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_for_each_core_and_one_at_least() {
        assert_eq!(ThreadPolicy::for_cores(0).workers, 1);
        let policy = ThreadPolicy::for_cores(8);
        assert_eq!((policy.workers, policy.intra_op_threads), (8, 1));
        assert_eq!(policy.why, "8 cores available; one frame a core");
    }

    #[test]
    fn cores_are_no_more_than_the_affinity_allows() {
        let affinity = rustix::thread::sched_getaffinity(None).map_or(usize::MAX, |set| set.count() as usize);
        assert!((1..=affinity).contains(&available_cores()));
    }
}

//! What the process costs, read from the kernel.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// Why a figure of the process could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The kernel's file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel's file does not say what it should.
    #[error("{} has no {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
}

fn read(path: &Path) -> Result<String, ProcessError> {
    fs::read_to_string(path).map_err(|source| ProcessError::Read { path: path.to_owned(), source })
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of all threads of the process so far.
#[must_use]
pub fn process_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread so far.
#[must_use]
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Memory of the process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident, shared pages counted whole.
    pub resident: u64,
    /// Resident, shared pages divided by the number of processes that share them.
    pub proportional: u64,
}

/// Memory of the process now. The kernel walks all its pages for it: call it once a second at the most.
pub fn memory() -> Result<Memory, ProcessError> {
    let path = Path::new("/proc/self/smaps_rollup");
    parse_memory(&read(path)?).map_err(|what| ProcessError::Missing { path: path.to_owned(), what })
}

fn parse_memory(text: &str) -> Result<Memory, &'static str> {
    let bytes = |name: &'static str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse::<u64>().ok())
            .map(|kibibytes| kibibytes * 1024)
            .ok_or(name)
    };
    Ok(Memory { resident: bytes("Rss:")?, proportional: bytes("Pss:")? })
}

/// Threads of the process now, where the system tells.
#[must_use]
pub fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

/// Open files and sockets of the process now, where the system tells.
#[must_use]
pub fn open_files() -> Option<usize> {
    // The listing itself is one of them.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// What a thread works on, told from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CpuGroup {
    /// Streaming threads of pipelines: sockets, depayloading, demuxing.
    Receive,
    /// Decoders and conversion.
    Decode,
    /// The detector's workers.
    Infer,
    /// Tracking and publishing.
    Publish,
    /// Everything else.
    Other,
}

impl CpuGroup {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Decode => "decode",
            Self::Infer => "infer",
            Self::Publish => "publish",
            Self::Other => "other",
        }
    }

    /// The group of the thread with this name (at most 15 bytes survive in the kernel).
    #[must_use]
    pub fn of_thread(name: &str) -> Self {
        // GStreamer names its streaming threads after the pad (`queue0:src`, `rtpjitterbuffer`) or, as the RTSP client's
        // loop, after the task (`task7`); libav's decoder threads are `av:…`.
        const RECEIVE: [&str; 9] =
            ["rtsp", "rtp", "udpsrc", "multiqueue", "typefind", "queue", "source", "souphttpsrc", "task"];
        if name.starts_with("decode") || name.starts_with("av:") {
            Self::Decode
        } else if name.starts_with("detect") {
            Self::Infer
        } else if name.starts_with("publish") {
            Self::Publish
        } else if name.contains(':') || RECEIVE.iter().any(|prefix| name.starts_with(prefix)) {
            Self::Receive
        } else {
            Self::Other
        }
    }
}

/// CPU time of the process's living threads so far, by group, to the kernel's clock tick (10 ms).
pub fn cpu_by_group() -> Result<BTreeMap<CpuGroup, Duration>, ProcessError> {
    let path = Path::new("/proc/self/task");
    let failed = |source| ProcessError::Read { path: path.to_owned(), source };
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let mut groups = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let task = entry.map_err(failed)?.path();
        // A thread may end between the listing and the reading.
        let Ok(stat) = fs::read_to_string(task.join("stat")) else { continue };
        if let Some((name, ticks)) = parse_stat(&stat) {
            let time = Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64);
            *groups.entry(CpuGroup::of_thread(name)).or_default() += time;
        }
    }
    Ok(groups)
}

/// The name and the clock ticks (user and system) of a line of `/proc/…/stat`; see `proc_pid_stat(5)`.
fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1;
    // Fields count from 1; `after` begins with field 3, user time is field 14, system time 15.
    let mut fields = after.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name, user + system))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn reads_the_memory_of_this_process() {
        let memory = memory().unwrap();
        assert!(memory.proportional > 0 && memory.proportional <= memory.resident, "{memory:?}");
    }

    #[test]
    fn a_rollup_without_pss_is_an_error() {
        assert_eq!(parse_memory("Rss:   12 kB\n"), Err("Pss:"));
        assert_eq!(
            parse_memory("Rss:   12 kB\nPss:  7 kB\n"),
            Ok(Memory { resident: 12 * 1024, proportional: 7 * 1024 })
        );
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let (process, thread) = (process_cpu(), thread_cpu());
        while thread_cpu() < thread + Duration::from_millis(1) {}
        assert!(process_cpu() >= process + Duration::from_millis(1));
    }

    #[test]
    fn a_thread_name_may_hold_spaces_and_brackets() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 0 0 0 0 0 30 12 0 0 20 0 5 0 100 0 0";
        assert_eq!(parse_stat(stat), Some(("a (b) c", 42)));
        assert_eq!(parse_stat("7 (short) S 1"), None);
    }

    #[test]
    fn threads_are_grouped_by_their_names() {
        for (name, group) in [
            ("decode-0", CpuGroup::Decode),
            ("av:h264:df0", CpuGroup::Decode),
            ("detect-1", CpuGroup::Infer),
            ("publish", CpuGroup::Publish),
            ("publish-stdout", CpuGroup::Publish),
            ("rtpjitterbuffer", CpuGroup::Receive),
            ("multiqueue0:src", CpuGroup::Receive),
            ("task7", CpuGroup::Receive),
            ("tokio-rt-worker", CpuGroup::Other),
        ] {
            assert_eq!(CpuGroup::of_thread(name), group, "{name}");
        }
    }

    #[test]
    fn this_process_has_threads_in_groups() {
        assert!(!cpu_by_group().unwrap().is_empty());
    }

    #[test]
    fn threads_and_files_are_counted() {
        let (threads_before, files_before) = (threads().unwrap(), open_files().unwrap());
        assert!(threads_before >= 1);
        let files: Vec<_> = (0..64).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests open and close files meanwhile, but not so many.
        assert!(open_files().unwrap() > files_before + 32);
        drop(files);
    }
}

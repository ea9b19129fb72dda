//! What the control group of the process uses and may use: what a container's limits are held against. Both versions of
//! control groups; see `cgroups(7)`.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MEMBERSHIP: &str = "/proc/self/cgroup";
const ROOT: &str = "/sys/fs/cgroup";

/// Figures of the process's control group. What the kernel does not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ControlGroup {
    /// Memory in use in bytes, the page cache included.
    pub memory: Option<u64>,
    /// The lowest memory limit of the group and those above it, in bytes.
    pub memory_limit: Option<u64>,
    /// CPU time so far, in seconds.
    pub cpu_seconds: Option<f64>,
    /// The lowest CPU limit of the group and those above it, in cores.
    pub cpu_limit: Option<f64>,
    /// Periods in which the CPU limit was held against something that ran.
    pub cpu_periods: Option<u64>,
    /// Those of them in which it had to wait.
    pub cpu_throttled_periods: Option<u64>,
    /// How long it had to wait, in seconds.
    pub cpu_throttled_seconds: Option<f64>,
}

impl ControlGroup {
    /// The figures now; all absent where there are no control groups.
    #[must_use]
    pub fn now() -> Self {
        let membership = fs::read_to_string(MEMBERSHIP).unwrap_or_default();
        Groups { membership: &membership, root: Path::new(ROOT) }.figures()
    }
}

/// The memory limit of the process's control group in bytes; `None` without one.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    ControlGroup::now().memory_limit
}

/// Where a controller's files may be, the process's own group first, then those above it. In a container the path that
/// the kernel tells may be the host's, and the files are nearer the root.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ancestry(Vec<PathBuf>);

impl Ancestry {
    /// The text of a file in the nearest group that has it.
    fn nearest(&self, file: &str) -> Option<String> {
        self.0.iter().find_map(|group| fs::read_to_string(group.join(file)).ok())
    }

    /// What `read` makes of each group.
    fn each<T>(&self, read: impl Fn(&Path) -> Option<T>) -> Vec<T> {
        self.0.iter().filter_map(|group| read(group)).collect()
    }
}

/// A process's membership (`/proc/self/cgroup`) and where groups are mounted.
#[derive(Clone, Copy)]
struct Groups<'a> {
    membership: &'a str,
    root: &'a Path,
}

impl Groups<'_> {
    fn figures(self) -> ControlGroup {
        let unified = self.ancestry("").unwrap_or_default();
        // Where both versions are mounted, a controller is in one of them.
        let memory = self.ancestry("memory").unwrap_or_default();
        let accounting = self.ancestry("cpuacct").unwrap_or_default();
        let cpu = self.ancestry("cpu").unwrap_or_default();
        let number = |groups: &Ancestry, file: &str| groups.nearest(file)?.trim().parse::<u64>().ok();
        let memory_limits = unified.each(|group| limit(&group.join("memory.max")));
        let memory_limits =
            memory_limits.into_iter().chain(memory.each(|group| limit(&group.join("memory.limit_in_bytes"))));
        let cpu_limits = unified.each(|group| quota(&fs::read_to_string(group.join("cpu.max")).ok()?));
        let cpu_limits = cpu_limits.into_iter().chain(cpu.each(quota_v1));
        let (stat, stat_v1) = (unified.nearest("cpu.stat"), cpu.nearest("cpu.stat"));
        let of_v2 = |name: &str| field(stat.as_deref()?, name);
        let of_v1 = |name: &str| field(stat_v1.as_deref()?, name);
        ControlGroup {
            memory: number(&unified, "memory.current").or_else(|| number(&memory, "memory.usage_in_bytes")),
            memory_limit: memory_limits.min(),
            cpu_seconds: of_v2("usage_usec")
                .map(|microseconds| microseconds as f64 / 1e6)
                .or_else(|| Some(number(&accounting, "cpuacct.usage")? as f64 / 1e9)),
            cpu_limit: cpu_limits.reduce(f64::min),
            cpu_periods: of_v2("nr_periods").or_else(|| of_v1("nr_periods")),
            cpu_throttled_periods: of_v2("nr_throttled").or_else(|| of_v1("nr_throttled")),
            cpu_throttled_seconds: of_v2("throttled_usec")
                .map(|microseconds| microseconds as f64 / 1e6)
                .or_else(|| Some(of_v1("throttled_time")? as f64 / 1e9)),
        }
    }

    /// Of a controller of version 1, or of version 2, whose controllers have no name here.
    fn ancestry(self, controller: &str) -> Option<Ancestry> {
        let path = self.membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            controllers.split(',').any(|other| other == controller).then_some(path)
        })?;
        let root = self.root.join(controller);
        Some(Ancestry(Path::new(path.trim_start_matches('/')).ancestors().map(|group| root.join(group)).collect()))
    }
}

/// The memory limit in a file.
fn limit(path: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    // Version 1 says "no limit" as the largest multiple of the page size; version 2 as a word.
    (limit < 1 << 62).then_some(limit)
}

/// Cores that `cpu.max` allows: `QUOTA PERIOD`, or `max PERIOD`.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cores(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<i64>().ok();
    // No limit is -1.
    cores(read("cpu.cfs_quota_us")?.try_into().ok()?, read("cpu.cfs_period_us")?.try_into().ok()?)
}

fn cores(quota: u64, period: u64) -> Option<f64> {
    (period > 0).then(|| quota as f64 / period as f64)
}

/// A field of `cpu.stat`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mounted(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn figures(membership: &str, root: &tempfile::TempDir) -> ControlGroup {
        Groups { membership, root: root.path() }.figures()
    }

    #[test]
    fn version_2_with_the_lower_limit_above() {
        let root = mounted(&[
            ("pods/a/memory.current", "1048576\n"),
            ("pods/a/memory.max", "max\n"),
            ("pods/memory.max", "2097152\n"),
            ("pods/a/cpu.max", "400000 100000\n"),
            ("pods/cpu.max", "150000 100000\n"),
            ("cpu.max", "max 100000\n"),
            (
                "pods/a/cpu.stat",
                "usage_usec 2500000\nuser_usec 2000000\nnr_periods 40\nnr_throttled 3\nthrottled_usec 250000\n",
            ),
        ]);
        let expected = ControlGroup {
            memory: Some(1 << 20),
            memory_limit: Some(2 << 20),
            cpu_seconds: Some(2.5),
            cpu_limit: Some(1.5),
            cpu_periods: Some(40),
            cpu_throttled_periods: Some(3),
            cpu_throttled_seconds: Some(0.25),
        };
        assert_eq!(figures("0::/pods/a\n", &root), expected);
    }

    #[test]
    fn version_1_in_a_container_that_is_told_the_hosts_path() {
        let root = mounted(&[
            ("memory/memory.usage_in_bytes", "4096\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpuacct/cpuacct.usage", "1500000000\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("cpu/cpu.stat", "nr_periods 7\nnr_throttled 2\nthrottled_time 500000000\n"),
        ]);
        let membership = "5:cpu,cpuacct:/kubepods/x\n4:memory:/kubepods/x\n0::/\n";
        let expected = ControlGroup {
            memory: Some(4096),
            cpu_seconds: Some(1.5),
            cpu_periods: Some(7),
            cpu_throttled_periods: Some(2),
            cpu_throttled_seconds: Some(0.5),
            ..ControlGroup::default()
        };
        assert_eq!(figures(membership, &root), expected);
    }

    #[test]
    fn without_control_groups_nothing_is_told() {
        let root = mounted(&[("memory.max", "nonsense")]);
        for membership in ["", "nonsense", "0::/a\n", "4:memory:/x\n"] {
            assert_eq!(figures(membership, &root), ControlGroup::default(), "{membership:?}");
        }
    }
}

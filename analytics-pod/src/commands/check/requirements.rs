//! What a pod needs of the machine, held against what there is.

use std::{
    env,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process,
};

use gstreamer as gst;
use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};

use super::report::Finding;
use crate::{assign::rest::default_folder, model, telemetry::memory_limit};

const KIND: &str = "machine";

/// The floor of every GStreamer feature that is used.
const GSTREAMER: (u32, u32) = (1, 14);
/// A pod without sources, with a small model: 90 MB measured.
const MEMORY_BASE: u64 = 128 << 20;
/// A source: 26 MB measured for H.264 at 1920 × 1080, nearly all of it the decoder's pictures.
const MEMORY_PER_SOURCE: u64 = 32 << 20;
/// Descriptors without sources: 20 measured.
const FILES_BASE: u64 = 64;
/// Descriptors of an RTSP source: 10 measured over TCP.
const FILES_PER_SOURCE: u64 = 16;
/// For models and state.
const FREE_SPACE: u64 = 100 << 20;

/// A folder that the pod writes into.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    what: &'static str,
    path: PathBuf,
    /// Whether it, or the nearest folder above it that is there, can be written.
    writable: bool,
    /// Bytes free there, where the system tells.
    free: Option<u64>,
}

impl Place {
    fn look(what: &'static str, path: PathBuf) -> Self {
        let there = path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let free = statvfs(there).ok().map(|system| system.f_bavail.saturating_mul(system.f_frsize));
        Self { what, writable: takes_files(there), free, path }
    }
}

/// Whether a file can be made in `folder`: rights alone do not tell, for a file system may be read-only or made up.
fn takes_files(folder: &Path) -> bool {
    let file = folder.join(format!(".vision-operator-check-{}", process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&file).is_ok();
    // It is empty; where it cannot be removed nothing is lost.
    let _ = fs::remove_file(&file);
    made
}

/// What the machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    gstreamer: (u32, u32, u32),
    architecture: &'static str,
    /// Whether the processor has the vector instructions that the model's run and the conversion of pictures are made
    /// for; `None` where the architecture has only one kind.
    vectors: Option<bool>,
    /// Bytes that the process may use: the machine's, or its control group's limit where that is lower.
    memory: Option<u64>,
    /// Descriptors that the process may have open; `None` without a limit.
    open_files: Option<u64>,
    places: Vec<Place>,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Self {
        let (major, minor, micro, _) = gst::version();
        let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = named("VISION_STATE_FOLDER").or_else(default_folder);
        let folders = [("state folder", state), ("model cache", model::cache_folder())];
        Self {
            gstreamer: (major, minor, micro),
            architecture: env::consts::ARCH,
            vectors: vectors(),
            memory: [total_memory(), memory_limit()].into_iter().flatten().min(),
            open_files: getrlimit(Resource::Nofile).current,
            places: folders.into_iter().filter_map(|(what, path)| Some(Place::look(what, path?))).collect(),
        }
    }

    /// What there is, and what is missing for `sources` sources.
    pub(super) fn findings(&self, sources: usize) -> Vec<Finding> {
        let sources = sources as u64;
        let mut findings = vec![self.gstreamer(), self.processor(), self.memory(sources), self.open_files(sources)];
        findings.extend(self.places.iter().map(place));
        findings
    }

    fn gstreamer(&self) -> Finding {
        let (major, minor, micro) = self.gstreamer;
        let (needed_major, needed_minor) = GSTREAMER;
        let version = format!("{major}.{minor}.{micro}");
        if (major, minor) < GSTREAMER {
            let problem = format!("{version} is too old: install {needed_major}.{needed_minor} or newer");
            return Finding::bad(KIND, "GStreamer", problem);
        }
        Finding::good(KIND, "GStreamer", version)
    }

    fn processor(&self) -> Finding {
        let name = "processor";
        let architecture = self.architecture;
        match self.vectors {
            Some(false) => Finding::absent(KIND, name, format!("{architecture} without AVX2: it works, far slower")),
            Some(true) => Finding::good(KIND, name, format!("{architecture} with AVX2")),
            None => Finding::good(KIND, name, architecture),
        }
    }

    fn memory(&self, sources: u64) -> Finding {
        let needed = MEMORY_BASE + sources * MEMORY_PER_SOURCE;
        match self.memory {
            Some(memory) if memory < needed => {
                let problem = format!(
                    "{} for this process, {} needed for {sources} source(s): raise its limit, or watch fewer here",
                    mebibytes(memory),
                    mebibytes(needed)
                );
                Finding::bad(KIND, "memory", problem)
            }
            Some(memory) => Finding::good(KIND, "memory", format!("{} for this process", mebibytes(memory))),
            None => Finding::absent(KIND, "memory", "the system does not tell"),
        }
    }

    fn open_files(&self, sources: u64) -> Finding {
        let needed = FILES_BASE + sources * FILES_PER_SOURCE;
        match self.open_files {
            Some(limit) if limit < needed => {
                let problem =
                    format!("{limit} at most, {needed} needed for {sources} source(s): raise it (ulimit -n {needed})");
                Finding::bad(KIND, "open files", problem)
            }
            Some(limit) => Finding::good(KIND, "open files", format!("{limit} at most")),
            None => Finding::good(KIND, "open files", "no limit"),
        }
    }
}

fn place(place: &Place) -> Finding {
    let path = place.path.display();
    if !place.writable {
        let variable = if place.what == "model cache" { "VISION_CACHE_DIR" } else { "VISION_STATE_FOLDER" };
        let problem = format!("{path} cannot be written: make it writable, or name another ({variable})");
        return Finding::bad(KIND, place.what, problem);
    }
    match place.free {
        Some(free) if free < FREE_SPACE => {
            let problem = format!("{path} has {} free, {} needed: make room", mebibytes(free), mebibytes(FREE_SPACE));
            Finding::bad(KIND, place.what, problem)
        }
        Some(free) => Finding::good(KIND, place.what, format!("{path}, {} free", mebibytes(free))),
        None => Finding::good(KIND, place.what, path.to_string()),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg_attr(target_arch = "x86_64", allow(clippy::unnecessary_wraps, reason = "other architectures have no answer"))]
fn vectors() -> Option<bool> {
    #[cfg(target_arch = "x86_64")]
    return Some(std::arch::is_x86_feature_detected!("avx2"));
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::commands::check::report::{CheckReport, Standing};

    fn enough() -> Machine {
        let place = |what| Place { what, path: PathBuf::from("/var/vision"), writable: true, free: Some(1 << 40) };
        Machine {
            gstreamer: (1, 14, 0),
            architecture: "x86_64",
            vectors: Some(true),
            memory: Some(8 << 30),
            open_files: Some(1024),
            places: vec![place("state folder"), place("model cache")],
        }
    }

    #[test]
    fn what_is_enough_is_good() {
        assert!(enough().findings(59).iter().all(|finding| finding.standing == Standing::Good));
        let unlimited = Machine { open_files: None, vectors: None, ..enough() };
        assert!(unlimited.findings(200).iter().all(|finding| finding.standing == Standing::Good));
    }

    #[test]
    fn each_shortage_is_told_with_its_remedy() {
        let mut poor = Machine {
            gstreamer: (1, 13, 91),
            vectors: Some(false),
            memory: Some(200 << 20),
            open_files: Some(100),
            ..enough()
        };
        poor.places[0].writable = false;
        poor.places[1].free = Some(5 << 20);
        insta::assert_snapshot!(CheckReport { findings: poor.findings(4) }.to_table());
    }

    #[test]
    fn this_machine_is_looked_at() {
        let machine = Machine::look();
        assert!(machine.memory.unwrap() > 1 << 20);
        assert_eq!(machine.places.len(), 2);
        assert!(machine.places.iter().all(|place| place.free.is_some()));
    }

    /// Every requirement that the README names is one that `check` looks at, with the same figures.
    #[test]
    fn the_readme_tells_what_is_looked_at() {
        let readme = include_str!("../../../../README.md");
        let rows: Vec<_> = readme
            .lines()
            .skip_while(|line| !line.starts_with("| the machine needs"))
            .skip(2)
            .map_while(|line| line.strip_prefix("| "))
            .collect();
        let findings = enough().findings(0);
        let looked_at = findings.iter().map(|finding| finding.name.as_str()).chain(["ONNX Runtime"]);
        for name in looked_at {
            assert!(rows.iter().any(|row| row.starts_with(name)), "{name} is not in the table");
        }
        assert_eq!(rows.len(), findings.len() + 1);
        let figures = [
            format!("{}.{}", GSTREAMER.0, GSTREAMER.1),
            format!("{} and {} a source", mebibytes(MEMORY_BASE), mebibytes(MEMORY_PER_SOURCE)),
            format!("{FILES_BASE} and {FILES_PER_SOURCE} a source"),
            mebibytes(FREE_SPACE),
        ];
        for figure in figures {
            assert!(rows.iter().any(|row| row.contains(&figure)), "{figure}");
        }
    }
}

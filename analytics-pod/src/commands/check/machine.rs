//! What the machine has beside what every pod needs: the model runtime, processors, GPUs, DeepStream.

use std::{fs, path::Path};

use crds::EngineChoice;
use deepstream::installation::{Capabilities, Installation};

use super::report::Finding;
use crate::{commands::engine, config::Config, engine::native::available_cores, model};

/// Where a Linux driver tells of NVIDIA GPUs.
const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";

const KIND: &str = "machine";

/// Looks at all of it.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![onnxruntime(), cores(), gpus(Path::new(NVIDIA_GPUS))];
    findings.extend(engine::installation(config).iter().flat_map(|found| deepstream(found, config.detector.engine)));
    findings
}

fn onnxruntime() -> Finding {
    match model::runtime() {
        Ok(runtime) => Finding::good(KIND, "ONNX Runtime", runtime.to_string()),
        Err(error) => Finding::bad(KIND, "ONNX Runtime", error.to_string()),
    }
}

fn cores() -> Finding {
    Finding::good(KIND, "cores", format!("{} for this process", available_cores()))
}

fn gpus(folder: &Path) -> Finding {
    let model = |path: &Path| {
        let text = fs::read_to_string(path.join("information")).ok()?;
        text.lines().find_map(|line| Some(line.strip_prefix("Model:")?.trim().to_owned()))
    };
    let names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|gpu| model(&gpu.path()).unwrap_or_else(|| gpu.file_name().to_string_lossy().into_owned()))
        .collect();
    if names.is_empty() {
        Finding::absent(KIND, "GPU", "no NVIDIA driver: models run on the CPU")
    } else {
        Finding::absent(KIND, "GPU", format!("{}: used by DeepStream only", names.join(", ")))
    }
}

/// What there is of DeepStream, which engine runs, and what is in the way of DeepStream where it is asked for.
fn deepstream(installation: &Installation, wanted: EngineChoice) -> Vec<Finding> {
    let name = "DeepStream";
    let mut findings = Vec::new();
    if installation.is_present() {
        let version = installation.version().map_or_else(
            || format!("of an unknown version in {}", installation.folder.display()),
            |(version, evidence)| format!("{version} ({evidence}) in {}", installation.folder.display()),
        );
        let abilities = installation.capabilities().map(abilities).unwrap_or_default();
        findings.push(Finding::absent(KIND, name, [version, abilities].join("\n")));
        for problem in installation.problems() {
            let message = problem.to_string();
            findings.push(match wanted {
                EngineChoice::DeepStream => Finding::bad(KIND, name, message),
                EngineChoice::Auto | EngineChoice::Native => Finding::absent(KIND, name, message),
            });
        }
    } else {
        findings.push(Finding::absent(KIND, name, format!("not installed in {}", installation.folder.display())));
    }
    findings.push(match engine::chosen(wanted, installation) {
        Ok(chosen) => {
            let engine = if chosen.deepstream { "DeepStream" } else { "Native" };
            Finding::good(KIND, "engine", format!("{engine}: {}", chosen.why))
        }
        Err(refused) => Finding::bad(KIND, "engine", refused.to_string()),
    });
    findings
}

fn abilities(capabilities: Capabilities) -> String {
    let Capabilities { source_bin, preprocess, tracker, control_events, native_overlay, rest, .. } = capabilities;
    let all = [
        (source_bin, "source bin"),
        (preprocess, "tensor preparation"),
        (tracker, "tracker"),
        (control_events, "control events"),
        (native_overlay, "overlay"),
        (rest, "REST"),
    ];
    let words = |wanted: bool| {
        let words: Vec<_> = all.iter().filter(|(has, _)| *has == wanted).map(|(_, word)| *word).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    };
    format!("has {}; has not {}", words(true), words(false))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::commands::check::report::CheckReport;

    #[test]
    fn gpus_are_named_by_their_driver() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = folder.path().join("0000:3b:00.0");
        fs::create_dir(&gpu).unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA L4\nIRQ: 30\n").unwrap();
        assert!(gpus(folder.path()).detail.starts_with("NVIDIA L4: "));
        assert!(gpus(&folder.path().join("none")).detail.starts_with("no NVIDIA driver"));
    }

    fn told(installation: &Installation, wanted: EngineChoice) -> String {
        CheckReport { findings: deepstream(installation, wanted) }.to_table()
    }

    #[test]
    fn deepstream_is_told_with_the_engine_that_follows() {
        let absent = Installation { folder: "/opt/nvidia/deepstream/deepstream".into(), ..Installation::default() };
        let broken = Installation {
            folder_exists: true,
            file_version: Some(::deepstream::Version::new(7, 1)),
            ..absent.clone()
        };
        let mut text = String::new();
        for wanted in [EngineChoice::Auto, EngineChoice::DeepStream] {
            for installation in [&absent, &broken] {
                text.push_str(&told(installation, wanted));
            }
        }
        insta::assert_snapshot!(text);
    }
}

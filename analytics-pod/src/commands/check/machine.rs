//! What the machine has beside what every pod needs: the model runtime, processors, GPUs, DeepStream.

use std::{fs, path::Path};

use super::report::Finding;
use crate::{engine::native::available_cores, model};

/// Where a Linux driver tells of NVIDIA GPUs.
const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";

/// Where DeepStream is installed, newest by a link.
const DEEPSTREAM: &str = "/opt/nvidia/deepstream/deepstream";

const KIND: &str = "machine";

/// Looks at all of it.
pub(super) fn findings() -> Vec<Finding> {
    vec![onnxruntime(), cores(), gpus(Path::new(NVIDIA_GPUS)), deepstream(Path::new(DEEPSTREAM))]
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
        Finding::absent(KIND, "GPU", format!("{}: not used, this version runs models on the CPU", names.join(", ")))
    }
}

fn deepstream(folder: &Path) -> Finding {
    match fs::read_to_string(folder.join("version")) {
        Ok(version) => {
            let version = version.lines().next().unwrap_or_default().trim().to_owned();
            Finding::absent(KIND, "DeepStream", format!("{version}: not used, this version has no DeepStream engine"))
        }
        Err(_) => Finding::absent(KIND, "DeepStream", format!("not installed in {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn gpus_are_named_by_their_driver() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = folder.path().join("0000:3b:00.0");
        fs::create_dir(&gpu).unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA L4\nIRQ: 30\n").unwrap();
        assert!(gpus(folder.path()).detail.starts_with("NVIDIA L4: "));
        assert!(gpus(&folder.path().join("none")).detail.starts_with("no NVIDIA driver"));
    }

    #[test]
    fn deepstream_tells_its_version() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), "Version: DeepStream 7.1.0\n").unwrap();
        assert!(deepstream(folder.path()).detail.starts_with("Version: DeepStream 7.1.0"));
        assert!(deepstream(&folder.path().join("none")).detail.starts_with("not installed"));
    }
}

//! Which engine runs, and why.

use super::Installation;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Whatever suits.
    Auto,
    /// The engine of this program.
    Native,
    /// DeepStream, or refusal.
    DeepStream,
}

/// The engine that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// DeepStream, else the program's own.
    pub deepstream: bool,
    /// A sentence for the log.
    pub why: String,
}

/// DeepStream was asked for and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine DeepStream is asked for and cannot be used: {}", .problems.join("; "))]
pub struct Refused {
    /// What is in the way, each with its remedy.
    pub problems: Vec<String>,
}

/// Chooses for `request`; `device_is_cpu` where the model is to run on the CPU.
///
/// # Errors
/// Where DeepStream is asked for and is not whole.
pub fn choose(request: Request, device_is_cpu: bool, installation: &Installation) -> Result<Chosen, Refused> {
    let native = |why: String| Ok(Chosen { deepstream: false, why });
    let version = installation.version().map(|(version, evidence)| format!("DeepStream {version} ({evidence})"));
    let problems: Vec<String> = installation.problems().iter().map(ToString::to_string).collect();
    match request {
        Request::Native => native("the engine Native is asked for".to_owned()),
        Request::DeepStream if device_is_cpu => {
            Err(Refused { problems: vec!["it runs on a GPU and the model's device is CPU".to_owned()] })
        }
        Request::DeepStream if problems.is_empty() => {
            Ok(Chosen { deepstream: true, why: format!("it is asked for: {}", version.unwrap_or_default()) })
        }
        Request::DeepStream => Err(Refused { problems }),
        Request::Auto if device_is_cpu => native("the model's device is CPU".to_owned()),
        Request::Auto if !installation.is_present() => native("DeepStream is not installed".to_owned()),
        Request::Auto if !problems.is_empty() => native(format!("DeepStream is not whole: {}", problems.join("; "))),
        Request::Auto => match (installation.gpus.as_slice(), version) {
            ([], version) => native(format!("{} is there, but no NVIDIA GPU", version.unwrap_or_default())),
            (gpus, version) => Ok(Chosen {
                deepstream: true,
                why: format!("{} is there and whole, and {}", version.unwrap_or_default(), gpus.join(", ")),
            }),
        },
    }
}

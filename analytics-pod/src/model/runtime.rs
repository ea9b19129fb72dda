//! ONNX Runtime: finding its library, loading it once, and its one environment.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use ort::{environment::Environment, logging::LogLevel};

/// The version that `scripts/onnxruntime.sh` installs and that the project is tested with.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";

/// The variable that names the library, before any search.
const LIBRARY_VARIABLE: &str = "VISION_ONNXRUNTIME";

/// Why ONNX Runtime cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No library was found.
    #[error(
        "ONNX Runtime is not installed: run scripts/onnxruntime.sh, or set {LIBRARY_VARIABLE} to the path of \
         libonnxruntime.so (looked at {searched})"
    )]
    Missing {
        /// Where it was looked for.
        searched: String,
    },
    /// A library was found but does not load, or is too old.
    #[error(
        "ONNX Runtime at {path} cannot be used: {message}; run scripts/onnxruntime.sh, or set {LIBRARY_VARIABLE} to \
         another libonnxruntime.so"
    )]
    Unusable {
        /// The library.
        path: String,
        /// Why.
        message: String,
    },
}

/// The loaded library.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
    /// Where the library is; a bare file name where the system's loader found it.
    pub path: PathBuf,
    /// Its version, as far as it can be asked for (`1.31`).
    pub version: String,
    /// What the library says of its build.
    pub build: Arc<str>,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.path.display())
    }
}

/// The library that the configuration names.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// Uses the library at `path`, and no other. Call it before the first [`runtime`]; the first call counts.
pub fn use_library(path: &Path) {
    // A second call names nothing: the library is loaded once.
    let _ = NAMED.set(path.to_owned());
}

/// Keeps ONNX Runtime from telling its makers about this process, and from leaving an identifier on the disk for that.
/// Since 1.31 it does both on Linux before [`ort`]'s `with_telemetry` can say no; its variable is looked at before.
/// Whoever sets that variable decides. Call it before any thread is started.
pub fn forgo_telemetry() {
    const OPT_OUT: &str = "ORT_DISABLE_TELEMETRY";
    if env::var_os(OPT_OUT).is_none() {
        // SAFETY: while there is no other thread, none can read the environment.
        unsafe { env::set_var(OPT_OUT, "1") };
    }
}

/// The runtime of this process, loaded at the first call. A failure is final for the process: a half-loaded library
/// cannot be taken back.
///
/// # Errors
/// Where no library is found or the one found cannot be used.
pub fn runtime() -> Result<&'static Runtime, RuntimeError> {
    static RUNTIME: OnceLock<Result<Runtime, RuntimeError>> = OnceLock::new();
    RUNTIME.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Runtime, RuntimeError> {
    let path = find()?;
    let unusable = |message: String| RuntimeError::Unusable { path: path.display().to_string(), message };
    let minor = ort::util::probe(&path).ok_or_else(|| unusable("it is no ONNX Runtime 1.x".to_owned()))?;
    let environment = ort::init_from(&path)
        .map_err(|error| unusable(error.to_string()))?
        .with_name("vision")
        .with_telemetry(false)
        .with_logger(Arc::new(forward_log))
        .build()
        .map_err(|error| unusable(error.message().to_owned()))?;
    environment.set_log_level(LogLevel::Warning);
    Ok(Runtime { environment, version: format!("1.{minor}"), build: ort::info().into(), path })
}

/// The first place that holds the library; the system's loader is asked last.
fn find() -> Result<PathBuf, RuntimeError> {
    let variable = || env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = NAMED.get().cloned().or_else(variable) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(RuntimeError::Missing {
                searched: format!("{} from onnxruntime or {LIBRARY_VARIABLE}", path.display()),
            })
        };
    }
    let places = places();
    if let Some(found) = places.iter().flat_map(|place| candidates(place)).find(|path| path.is_file()) {
        return Ok(found);
    }
    let by_loader = PathBuf::from("libonnxruntime.so");
    if ort::util::probe(&by_loader).is_some() {
        return Ok(by_loader);
    }
    let there = |place: &&PathBuf| place.is_dir() || place.ends_with("lib");
    let searched: Vec<String> = places.iter().filter(there).map(|place| place.display().to_string()).collect();
    Err(RuntimeError::Missing { searched: format!("{}, the system's libraries", searched.join(", ")) })
}

/// How far a program may lie below the checkout that it was built in: `target/release/deps`.
const CHECKOUT_DEPTH: usize = 4;

/// Folders that may hold the library, in order: an installed package's, then a checkout's.
fn places() -> Vec<PathBuf> {
    let cache = Path::new(".cache/onnxruntime").join(ONNXRUNTIME_VERSION);
    let program = env::current_exe().unwrap_or_default();
    let mut places: Vec<_> = program.parent().and_then(Path::parent).map(|root| root.join("lib")).into_iter().collect();
    // A checkout's program lies in its target folder, a test's deeper.
    places.extend(program.ancestors().skip(1).take(CHECKOUT_DEPTH).map(|folder| folder.join(&cache)));
    places.extend(env::current_dir().map(|folder| folder.join(&cache)));
    places.dedup();
    places
}

fn candidates(folder: &Path) -> [PathBuf; 2] {
    [folder.join(format!("libonnxruntime.so.{ONNXRUNTIME_VERSION}")), folder.join("libonnxruntime.so")]
}

fn forward_log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => tracing::error!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Info => tracing::info!(target: "onnxruntime", category, location, "{message}"),
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, location, "{message}"),
    }
}

//! `analytics-pod check`: is everything there, and if not, what to do.

mod machine;
mod report;
mod requirements;
mod self_test;

use std::{
    collections::BTreeMap,
    io,
    panic::resume_unwind,
    process::ExitCode,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use report::{CheckReport, Finding};
use requirements::Machine;

use super::config::{self, ConfigCommandError};
use crate::{
    assign::{DesiredModel, DesiredSource, DesiredState, Loader, ModelKey},
    cli::{CheckArgs, OutputFormat},
    config::Effective,
    engine::native,
    model::{Model, ModelInfo, OpenOptions},
    pod::open_model,
    source::{self, Input, Next, Pacing, elements, printable_uri},
    telemetry::StreamTelemetry,
};

/// How long a source may take to send its first frame when it is asked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a check cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It cannot be written as JSON.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// What the configuration lists cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigCommandError),
    /// Standard output does not take it.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Checks and reports; the exit code says whether anything is in the way.
///
/// # Errors
/// Where the report cannot be written.
pub fn check(args: &CheckArgs, effective: &Effective) -> Result<ExitCode, CheckError> {
    let mut of_manifests = Vec::new();
    let desired = manifests(args, effective, &mut of_manifests)?;
    let mut findings = Machine::look().findings(desired.sources.len());
    findings.extend(machine::findings(&effective.config));
    findings.extend(of_manifests);
    findings.extend(elements(&desired));
    let models = models(&desired, &mut findings);
    sources(args, &desired, &models, &mut findings);
    let report = CheckReport { findings };
    match args.output {
        OutputFormat::Table => super::print(&report.to_table())?,
        OutputFormat::Json => super::print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn manifests(
    args: &CheckArgs,
    effective: &Effective,
    findings: &mut Vec<Finding>,
) -> Result<DesiredState, ConfigCommandError> {
    let files = effective.config.files.clone();
    let named: Vec<String> = files.iter().chain(&args.config).map(|path| path.display().to_string()).collect();
    let mut loader = Loader::new(Vec::new());
    loader.replace(files, config::listed(effective)?);
    let loaded = loader.load();
    for problem in &loaded.errors {
        findings.push(Finding::bad("manifest", problem.file.display().to_string(), problem.to_string()));
    }
    let nothing = loaded.state.sources.is_empty() && loaded.state.models.is_empty() && loaded.state.disabled.is_empty();
    if !named.is_empty() && loaded.errors.is_empty() && nothing {
        let problem = "there is no VideoSource and no DetectionModel in it";
        findings.push(Finding::bad("manifest", named.join(", "), problem));
    } else if !named.is_empty() && loaded.errors.is_empty() {
        let count =
            format!("{} VideoSource(s), {} DetectionModel(s)", loaded.state.sources.len(), loaded.state.models.len());
        findings.push(Finding::good("manifest", "all", count));
    }
    Ok(loaded.state)
}

/// Every element that decoding and the sources need; without sources, those that every pod needs.
fn elements(desired: &DesiredState) -> Vec<Finding> {
    let mut needed = BTreeMap::new();
    let inputs = desired.sources.values().flat_map(|source| source.alternatives().inputs);
    let of_sources = inputs.flat_map(|input| elements::needed(&input));
    for element in native::elements().into_iter().chain(of_sources) {
        needed.insert(element.name, element);
    }
    needed
        .into_values()
        .map(|element| match element.check() {
            Ok(()) => Finding::good("element", element.name, element.package),
            Err(failure) => Finding::bad("element", element.name, failure.message),
        })
        .collect()
}

/// Opens each model: its run on a grey picture is part of that. All at once: a server that does not answer is waited
/// for long.
fn models(desired: &DesiredState, findings: &mut Vec<Finding>) -> BTreeMap<ModelKey, Arc<Model>> {
    let opened: Vec<_> = thread::scope(|scope| {
        let open = |model: &'_ Arc<DesiredModel>| open_model(model, &OpenOptions::default());
        let opening: Vec<_> = desired.models.values().map(|model| scope.spawn(move || open(model))).collect();
        opening.into_iter().map(ScopedJoinHandle::join).collect()
    });
    let mut open = BTreeMap::new();
    for (key, opened) in desired.models.keys().zip(opened) {
        match opened.unwrap_or_else(|panic| resume_unwind(panic)) {
            Ok(model) => {
                findings.push(Finding::good("model", key.to_string(), describe(model.info())));
                open.insert(key.clone(), model);
            }
            Err(error) => findings.push(Finding::bad("model", key.to_string(), error.to_string())),
        }
    }
    open
}

fn describe(info: &ModelInfo) -> String {
    let input = &info.input;
    format!(
        "{}\nopset {}; {}\nlayout {}, input {}×{} {}, {}\n{} labels, {}: {}",
        info.digest,
        info.opset,
        info.tensors.join("; "),
        info.layout,
        input.width,
        input.height,
        input.color_order,
        input.fit,
        info.labels.len(),
        info.labels_from,
        info.labels.join(", "),
    )
}

fn sources(
    args: &CheckArgs,
    desired: &DesiredState,
    models: &BTreeMap<ModelKey, Arc<Model>>,
    findings: &mut Vec<Finding>,
) {
    for key in &desired.disabled {
        findings.push(Finding::absent("source", key.to_string(), "not enabled"));
    }
    for (key, source) in &desired.sources {
        let name = key.to_string();
        let unknown_class = models.get(&source.model).and_then(|model| source.detection.settings(model.info()).err());
        let outcome = if let Some(problem) = unknown_class {
            Err(format!("spec.detection.classes: {problem}"))
        } else if args.self_test {
            match models.get(&source.model) {
                Some(model) => self_test::first_frame(source, model),
                None => Err("its model cannot be used".to_owned()),
            }
        } else if args.connect || is_part_of_the_program(&source.input) {
            connect(source)
        } else {
            Ok(format!("{}, not asked (--connect asks it)", printable_uri(&source.input.uri)))
        };
        findings.push(match outcome {
            Ok(detail) => Finding::good("source", name, detail),
            Err(problem) => Finding::bad("source", name, problem),
        });
    }
}

/// Whether asking the source costs nothing and disturbs nobody.
fn is_part_of_the_program(input: &Input) -> bool {
    matches!(input.uri.scheme(), "sim" | "test")
}

/// Waits for the first access unit.
fn connect(source: &DesiredSource) -> Result<String, String> {
    let telemetry = Arc::new(StreamTelemetry::default());
    let problem = |failure: source::Failure| failure.to_string();
    let mut units = source::open(&source.input, Pacing::Live, &telemetry).map_err(problem)?;
    let end = std::time::Instant::now() + CONNECT_TIMEOUT;
    while std::time::Instant::now() < end {
        if let Next::Unit(_) = units.next(Duration::from_millis(100)).map_err(problem)? {
            return Ok(match telemetry.format() {
                Some(format) => format!("{} {}×{}", format.codec, format.width, format.height),
                None => "it sends video".to_owned(),
            });
        }
    }
    Err(format!("it sent no frame within {} s", CONNECT_TIMEOUT.as_secs()))
}

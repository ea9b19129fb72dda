//! The pod's counters in Prometheus' text format. `docs/metrics.md` lists them.

mod family;
mod machine;
mod models;
mod streams;
#[cfg(test)]
mod tests;

use family::{Family, label};
use machine::ProcessFigures;
use prometheus::{Encoder as _, TextEncoder, proto::MetricFamily};

use super::{ControlGroup, Telemetry, memory, open_files, process_cpu, threads};

/// Why the metrics could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the metrics: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

/// Every metric of the pod now, in Prometheus' text format 0.0.4. Read at each scrape from the counters themselves,
/// so that the series of a source vanish with it. Blocks for some milliseconds.
pub fn encode_metrics(telemetry: &Telemetry) -> Result<String, EncodeError> {
    let process = ProcessFigures {
        uptime: telemetry.uptime(),
        cpu: process_cpu(),
        memory: memory().ok(),
        threads: threads(),
        open_files: open_files(),
    };
    let mut families = of_the_pod(telemetry);
    families.extend(machine::process(&process));
    families.extend(machine::control_group(&ControlGroup::now()));
    families.extend(machine::gpus(&telemetry.gpus().read()));
    encode(&families)
}

fn of_the_pod(telemetry: &Telemetry) -> Vec<MetricFamily> {
    let mut families = streams::families(telemetry);
    families.extend(models::families(telemetry));
    families.push(outputs(telemetry));
    families
}

fn outputs(telemetry: &Telemetry) -> MetricFamily {
    let mut failing = Family::gauge(
        "vision_pod_output_failing",
        "1 while an output cannot be written, a full disk being the commonest reason; else 0.",
    );
    for output in telemetry.outputs().iter() {
        failing.push(vec![label("output", output.name())], f64::from(u8::from(output.trouble().is_some())));
    }
    failing.finish()
}

fn encode(families: &[MetricFamily]) -> Result<String, EncodeError> {
    let mut text = Vec::new();
    let filled: Vec<_> = families.iter().filter(|family| !family.get_metric().is_empty()).cloned().collect();
    TextEncoder::new().encode(&filled, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

//! The series of the process, its control group, and the GPUs.

use std::time::Duration;

use gpu_telemetry::GpuReading;
use prometheus::proto::{LabelPair, MetricFamily};

use super::family::{Family, label};
use crate::telemetry::{ControlGroup, Memory, gpus::GpuReadings};

/// What the process costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcessFigures {
    pub(super) uptime: Duration,
    pub(super) cpu: Duration,
    pub(super) memory: Option<Memory>,
    pub(super) threads: Option<usize>,
    pub(super) open_files: Option<usize>,
}

pub(super) fn process(figures: &ProcessFigures) -> Vec<MetricFamily> {
    let ProcessFigures { uptime, cpu, memory, threads, open_files } = figures;
    let mut build = Family::gauge("vision_pod_build_info", "1; the labels tell the version.");
    build.push(vec![label("version", env!("CARGO_PKG_VERSION"))], 1.0);
    vec![
        build.finish(),
        Family::counter("vision_pod_process_cpu_seconds_total", "CPU time of the process, user and system.")
            .single(Some(cpu.as_secs_f64())),
        Family::gauge("vision_pod_process_uptime_seconds", "Time since the process began.")
            .single(Some(uptime.as_secs_f64())),
        Family::gauge("vision_pod_process_resident_memory_bytes", "Resident memory.")
            .single(memory.map(|memory| memory.resident as f64)),
        Family::gauge(
            "vision_pod_process_proportional_memory_bytes",
            "Resident memory, shared pages divided among the processes that share them.",
        )
        .single(memory.map(|memory| memory.proportional as f64)),
        Family::gauge("vision_pod_process_threads", "Threads.").single(threads.map(|count| count as f64)),
        Family::gauge("vision_pod_process_open_files", "Open files and sockets.")
            .single(open_files.map(|count| count as f64)),
    ]
}

pub(super) fn control_group(group: &ControlGroup) -> Vec<MetricFamily> {
    let count = |count: Option<u64>| count.map(|count| count as f64);
    vec![
        Family::gauge("vision_pod_cgroup_memory_bytes", "Memory of the control group, the page cache included.")
            .single(count(group.memory)),
        Family::gauge("vision_pod_cgroup_memory_limit_bytes", "Memory limit of the control group.")
            .single(count(group.memory_limit)),
        Family::counter("vision_pod_cgroup_cpu_seconds_total", "CPU time of the control group.")
            .single(group.cpu_seconds),
        Family::gauge("vision_pod_cgroup_cpu_limit_cores", "CPU limit of the control group.").single(group.cpu_limit),
        Family::counter("vision_pod_cgroup_cpu_periods_total", "Periods in which the CPU limit was held against use.")
            .single(count(group.cpu_periods)),
        Family::counter(
            "vision_pod_cgroup_cpu_throttled_periods_total",
            "Those of them in which the group had to wait.",
        )
        .single(count(group.cpu_throttled_periods)),
        Family::counter(
            "vision_pod_cgroup_cpu_throttled_seconds_total",
            "How long the group had to wait for its CPU limit.",
        )
        .single(group.cpu_throttled_seconds),
    ]
}

pub(super) fn gpus(readings: &GpuReadings) -> Vec<MetricFamily> {
    let labels =
        |gpu: &GpuReading| -> Vec<LabelPair> { vec![label("gpu", &gpu.index.to_string()), label("uuid", &gpu.uuid)] };
    let mut info = Family::gauge("vision_pod_gpu_info", "1 for each GPU of the machine.");
    for gpu in &readings.gpus {
        let mut labels = labels(gpu);
        labels.push(label("name", gpu.name.as_deref().unwrap_or_default()));
        labels.push(label("driver", readings.driver.as_deref().unwrap_or_default()));
        info.push(labels, 1.0);
    }
    let each = |mut family: Family, value: fn(&GpuReading) -> Option<f64>| {
        for gpu in &readings.gpus {
            if let Some(value) = value(gpu) {
                family.push(labels(gpu), value);
            }
        }
        family.finish()
    };
    vec![
        info.finish(),
        each(
            Family::gauge(
                "vision_pod_gpu_utilization_ratio",
                "Share of the last moments in which a kernel ran, 0 to 1.",
            ),
            |gpu| gpu.utilization,
        ),
        each(
            Family::gauge(
                "vision_pod_gpu_decoder_utilization_ratio",
                "Share in which the video decoder worked, 0 to 1.",
            ),
            |gpu| gpu.decoder_utilization,
        ),
        each(
            Family::gauge(
                "vision_pod_gpu_encoder_utilization_ratio",
                "Share in which the video encoder worked, 0 to 1.",
            ),
            |gpu| gpu.encoder_utilization,
        ),
        each(Family::gauge("vision_pod_gpu_memory_used_bytes", "GPU memory in use, by whomever."), |gpu| {
            gpu.memory_used.map(|bytes| bytes as f64)
        }),
        each(Family::gauge("vision_pod_gpu_memory_total_bytes", "GPU memory in all."), |gpu| {
            gpu.memory_total.map(|bytes| bytes as f64)
        }),
        each(Family::gauge("vision_pod_gpu_temperature_celsius", "Temperature of the chip."), |gpu| {
            gpu.temperature.map(f64::from)
        }),
    ]
}

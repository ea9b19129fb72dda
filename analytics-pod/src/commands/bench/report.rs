//! What a benchmark measured, and how it is told to people.

use std::{collections::BTreeMap, fmt::Write};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::trend::Trend;

/// A benchmark's figures. Its JSON form is what `--compare` reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What was measured.
    pub(super) settings: Settings,
    /// One by one.
    pub(super) sources: Vec<SourceFigures>,
    /// All together.
    pub(super) total: TotalFigures,
    /// Proportional set size of this process.
    pub(super) memory: MemoryFigures,
    /// The least that the same work can cost, measured in the same run.
    pub(super) floor: Option<FloorFigures>,
    /// CPU by stage, most expensive first; with `--profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<Profile>,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) model: String,
    pub(super) sources: usize,
    /// Seconds of load.
    pub(super) seconds: f64,
    /// Cores that this process may use.
    pub(super) cores: usize,
    pub(super) workers: usize,
    /// Where the video came from, for a person.
    pub(super) video: String,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceFigures {
    pub(super) name: String,
    pub(super) received_fps: f64,
    pub(super) processed_fps: f64,
    /// Frames by the reason they were not processed for; reasons with none are left out.
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) latency_ms: Option<Latency>,
}

/// Capture → published, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    /// How many frames the quantiles are of.
    pub(super) frames: u64,
    /// How the capture time is known.
    pub(super) measured_by: MeasuredBy,
}

/// How a frame's capture time is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MeasuredBy {
    /// The barcode in the picture names the frame, and the simulator tells when it sent that frame.
    #[default]
    Barcode,
    /// The pod's own capture time: what happens before the frame's arrival is not seen.
    CaptureTime,
}

impl Latency {
    /// The quantiles of `histogram` (microseconds); `None` where it is empty.
    pub(super) fn of(histogram: &Histogram<u64>, measured_by: MeasuredBy) -> Option<Self> {
        let quantile = |q| histogram.value_at_quantile(q) as f64 / 1000.0;
        (!histogram.is_empty()).then(|| Self {
            p50: quantile(0.50),
            p95: quantile(0.95),
            p99: quantile(0.99),
            frames: histogram.len(),
            measured_by,
        })
    }
}

/// All sources together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TotalFigures {
    pub(super) received_fps: f64,
    pub(super) processed_fps: f64,
    /// The fastest source's processed rate over the slowest's.
    pub(super) fairness: f64,
    /// CPU seconds per second.
    pub(super) cores_used: f64,
    /// Share of the cores that this process may use, percent.
    pub(super) cpu_percent: f64,
    /// CPU per processed frame, milliseconds, everything included.
    pub(super) cpu_ms_per_frame: f64,
    /// The same less the model's runs.
    pub(super) cpu_ms_per_frame_outside_inference: f64,
    pub(super) latency_ms: Option<Latency>,
    /// Change of the 99th percentile over the second half of the run, with its standard error.
    pub(super) latency_p99_trend: Option<Trend>,
}

/// Memory of this process, in bytes (proportional set size).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemoryFigures {
    pub(super) start_bytes: u64,
    pub(super) end_bytes: u64,
    pub(super) peak_bytes: u64,
    /// Change over the second half of the run, in bytes a minute, with its standard error.
    pub(super) trend: Option<Trend>,
}

/// The least that the same work can cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FloorFigures {
    /// CPU of the bare decoder on the same access units, per processed frame, milliseconds. Where fewer frames are
    /// inferred than received it has decoded only those that others refer to.
    pub(super) decode_ms: f64,
    /// CPU of the model's run on the same input, milliseconds.
    pub(super) inference_ms: f64,
    /// The pod's CPU per frame over the sum of the two.
    pub(super) total_ratio: f64,
    /// The pod's CPU per frame less the model's runs, over the bare decoder.
    pub(super) outside_inference_ratio: f64,
}

/// Where the CPU went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    /// Milliseconds of CPU per processed frame by stage, most expensive first (`wait` is elapsed time and costs none).
    pub(super) stages: Vec<StageFigures>,
    /// CPU outside receiving, decoding, converting and inferring, percent of the process's.
    pub(super) management_percent: f64,
    /// What to change to go faster, in one line.
    pub(super) bottleneck: String,
}

/// One stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StageFigures {
    pub(super) stage: String,
    pub(super) ms_per_frame: f64,
    /// Share of the process's CPU; `None` for waiting.
    pub(super) percent: Option<f64>,
}

impl Report {
    /// The report as tables for people.
    pub(super) fn to_table(&self) -> String {
        let mut text = String::new();
        let settings = &self.settings;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} source(s), {}, model {}, {:.0} s on {} core(s), {} worker(s)\n",
            settings.sources, settings.video, settings.model, settings.seconds, settings.cores, settings.workers
        );
        let width = self.sources.iter().map(|source| source.name.len()).max().unwrap_or(0).max(6);
        let _ =
            writeln!(text, "{:width$}  received/s  processed/s   p50 ms   p95 ms   p99 ms  not processed", "SOURCE");
        for source in &self.sources {
            let dropped: Vec<_> = source.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            let note = if dropped.is_empty() { "-".to_owned() } else { dropped.join(", ") };
            row(
                &mut text,
                width,
                &source.name,
                (source.received_fps, source.processed_fps),
                source.latency_ms.as_ref(),
                &note,
            );
        }
        let total = &self.total;
        let note = format!("fastest/slowest {:.2}", total.fairness);
        let rates = (total.received_fps, total.processed_fps);
        row(&mut text, width, "TOTAL", rates, total.latency_ms.as_ref(), &note);
        if let Some(latency) = &total.latency_ms {
            let how = match latency.measured_by {
                MeasuredBy::Barcode => "simulator's sending → published, by the barcode in the picture",
                MeasuredBy::CaptureTime => "arrival at the pod → published",
            };
            let _ = writeln!(text, "latency   {how}, {} frames", latency.frames);
        }
        if let Some(trend) = total.latency_p99_trend {
            let _ = writeln!(
                text,
                "          p99 changes by {:+.1} ± {:.1} ms a minute over the second half",
                trend.per_minute, trend.standard_error
            );
        }
        let _ = writeln!(
            text,
            "CPU       {:.2} cores ({:.0} %), {:.2} ms per processed frame, {:.2} ms outside inference",
            total.cores_used, total.cpu_percent, total.cpu_ms_per_frame, total.cpu_ms_per_frame_outside_inference
        );
        let mebibytes = |bytes: u64| bytes as f64 / 1_048_576.0;
        let _ = writeln!(
            text,
            "memory    {:.0} MiB at the start, {:.0} at the end, {:.0} at the peak",
            mebibytes(self.memory.start_bytes),
            mebibytes(self.memory.end_bytes),
            mebibytes(self.memory.peak_bytes)
        );
        if let Some(trend) = self.memory.trend {
            let _ = writeln!(
                text,
                "          changes by {:+.2} ± {:.2} MiB a minute over the second half",
                trend.per_minute / 1_048_576.0,
                trend.standard_error / 1_048_576.0
            );
        }
        if let Some(floor) = &self.floor {
            let _ = writeln!(
                text,
                "floor     bare decode {:.2} ms, model's run {:.2} ms: total is {:.2} × their sum, and what is outside \
                 inference {:.2} × bare decode",
                floor.decode_ms, floor.inference_ms, floor.total_ratio, floor.outside_inference_ratio
            );
        }
        if let Some(profile) = &self.profile {
            let _ = writeln!(text, "\nSTAGE         ms/frame   share");
            for stage in &profile.stages {
                let share = stage.percent.map_or_else(|| "waiting".to_owned(), |percent| format!("{percent:5.1} %"));
                let _ = writeln!(text, "{:12} {:9.3}   {share}", stage.stage, stage.ms_per_frame);
            }
            let _ = writeln!(text, "management {:.1} % of the CPU", profile.management_percent);
            let _ = writeln!(text, "bottleneck: {}", profile.bottleneck);
        }
        text
    }

    /// How this report's main figures relate to an earlier one's.
    pub(super) fn compared_with(&self, baseline: &Self) -> String {
        let mut text = String::from("compared with the baseline:\n");
        let quantile = |report: &Self, of: fn(&Latency) -> f64| report.total.latency_ms.as_ref().map(of);
        let figures: [(&str, Option<f64>, Option<f64>); 6] = [
            ("processed/s", Some(self.total.processed_fps), Some(baseline.total.processed_fps)),
            ("CPU ms per frame", Some(self.total.cpu_ms_per_frame), Some(baseline.total.cpu_ms_per_frame)),
            ("p50 ms", quantile(self, |latency| latency.p50), quantile(baseline, |latency| latency.p50)),
            ("p95 ms", quantile(self, |latency| latency.p95), quantile(baseline, |latency| latency.p95)),
            (
                "peak memory MiB",
                Some(self.memory.peak_bytes as f64 / 1_048_576.0),
                Some(baseline.memory.peak_bytes as f64 / 1_048_576.0),
            ),
            (
                "total over floor",
                self.floor.as_ref().map(|floor| floor.total_ratio),
                baseline.floor.as_ref().map(|floor| floor.total_ratio),
            ),
        ];
        for (name, now, before) in figures {
            if let (Some(now), Some(before)) = (now, before.filter(|before| *before > 0.0)) {
                let _ =
                    writeln!(text, "  {name:17} {before:9.2} → {now:9.2}  ({:+.1} %)", (now / before - 1.0) * 100.0);
            }
        }
        text
    }
}

fn row(text: &mut String, width: usize, name: &str, fps: (f64, f64), latency: Option<&Latency>, note: &str) {
    let cell =
        |of: fn(&Latency) -> f64| latency.map_or_else(|| "-".to_owned(), |latency| format!("{:.1}", of(latency)));
    let _ = writeln!(
        text,
        "{name:width$}  {:10.2}  {:11.2}  {:>7}  {:>7}  {:>7}  {note}",
        fps.0,
        fps.1,
        cell(|latency| latency.p50),
        cell(|latency| latency.p95),
        cell(|latency| latency.p99),
    );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn example() -> Report {
        let latency = Latency { p50: 31.2, p95: 44.0, p99: 61.5, frames: 880, measured_by: MeasuredBy::Barcode };
        Report {
            settings: Settings {
                model: "starter".into(),
                sources: 2,
                seconds: 30.0,
                cores: 2,
                workers: 2,
                video: "simulated 1280x720 at 15 fps, H264".into(),
            },
            sources: vec![
                SourceFigures {
                    name: "camera-1".into(),
                    received_fps: 15.0,
                    processed_fps: 14.9,
                    dropped: BTreeMap::from([("Superseded".into(), 3)]),
                    latency_ms: Some(latency.clone()),
                },
                SourceFigures { name: "camera-2".into(), ..SourceFigures::default() },
            ],
            total: TotalFigures {
                received_fps: 15.0,
                processed_fps: 14.9,
                fairness: 1.0,
                cores_used: 0.61,
                cpu_percent: 30.5,
                cpu_ms_per_frame: 20.4,
                cpu_ms_per_frame_outside_inference: 5.6,
                latency_ms: Some(latency),
                latency_p99_trend: Trend::through(&[(0.0, 60.0), (10.0, 61.0), (20.0, 62.5)]),
            },
            memory: MemoryFigures { start_bytes: 90 << 20, end_bytes: 121 << 20, peak_bytes: 122 << 20, trend: None },
            floor: Some(FloorFigures {
                decode_ms: 4.8,
                inference_ms: 14.8,
                total_ratio: 1.04,
                outside_inference_ratio: 1.17,
            }),
            profile: Some(Profile {
                stages: vec![
                    StageFigures { stage: "infer".into(), ms_per_frame: 14.8, percent: Some(72.5) },
                    StageFigures { stage: "wait".into(), ms_per_frame: 1.1, percent: None },
                ],
                management_percent: 2.4,
                bottleneck: "infer takes 73 % of the CPU".into(),
            }),
        }
    }

    #[test]
    fn the_table_says_everything() {
        insta::assert_snapshot!(example().to_table());
    }

    #[test]
    fn a_comparison_names_the_change() {
        let mut later = example();
        later.total.cpu_ms_per_frame = 10.2;
        insta::assert_snapshot!(later.compared_with(&example()));
    }

    #[test]
    fn a_report_survives_its_json_form() {
        let json = serde_json::to_string(&example()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), example());
    }
}

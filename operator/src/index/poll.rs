//! What a pod told when it was asked, and since when it has been silent.

use crds::report::{ModelPhase, Phase, PodReport, Rates, SourceReport, SourceState};

use crate::plan::{Camera, Holding, Key, Load, Report};

/// Failures that are the camera's or the manifest's: another pod would see the same.
const SAME_EVERYWHERE: [&str; 7] = [
    "AuthenticationFailed",
    "CertificateUntrusted",
    "NotFound",
    "UnsupportedCodec",
    "CorruptStream",
    "Unsupported",
    "StreamEnded",
];

/// The latest that is known from a pod itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poll {
    pub(super) report: Option<Report>,
    pub(super) down_since: Option<i64>,
    /// Its present run; another one means that the container was restarted.
    session: i64,
    /// It has taken sources since the operator began to ask, or Kubernetes said so when it was asked.
    has_served: bool,
}

impl Poll {
    /// The pod did not answer, asked at `now` (Unix milliseconds). `ready`: it serves, as Kubernetes has it, which is all
    /// that an operator knows of a pod that has been silent since before it began.
    pub fn missed(&mut self, now: i64, ready: bool) {
        self.has_served |= ready;
        if self.has_served {
            self.down_since.get_or_insert(now);
        }
    }

    /// The pod answered. A report that says it is another pod's counts as silence: the address was given anew.
    pub fn answered(&mut self, pod: &str, report: &PodReport, now: i64) {
        if report.pod != pod {
            self.missed(now, false);
            return;
        }
        let report_of_pod = fold(report);
        self.session = report.session;
        self.has_served |= report_of_pod.serving;
        if report_of_pod.serving {
            self.down_since = None;
        } else {
            self.missed(now, false);
        }
        self.report = Some(report_of_pod);
    }

    /// When the present run of the container began, Unix milliseconds by the pod's clock; 0: not known.
    #[must_use]
    pub fn session(&self) -> i64 {
        self.session
    }
}

fn fold(report: &PodReport) -> Report {
    let in_use = report.model.phase == ModelPhase::Ready || report.model.digest.is_some();
    Report {
        serving: in_use && report.capacity.is_some(),
        terminating: report.terminating,
        capacity: report.capacity.map(|capacity| load(capacity).rounded_down()),
        engine_stalled: report.engine_stalled_ms,
        sources: report
            .sources
            .iter()
            .map(|source| (Key::new(source.namespace.as_str(), source.name.as_str()), holding(source)))
            .collect(),
    }
}

fn load(rates: Rates) -> Load {
    Load {
        streams: if rates.streams == 0 { u64::MAX } else { rates.streams.into() },
        inferences: rates.milli_inferences_per_second,
        decode: rates.decode_micros_per_second,
    }
}

fn holding(source: &SourceReport) -> Holding {
    let same_everywhere = source.reason.as_deref().is_some_and(|reason| SAME_EVERYWHERE.contains(&reason));
    let camera = match source.state {
        SourceState::Streaming => Camera::Streaming,
        SourceState::Completed | SourceState::Failed => Camera::Hopeless,
        SourceState::Connecting | SourceState::Stalled | SourceState::Backoff if same_everywhere => Camera::Hopeless,
        SourceState::Connecting | SourceState::Stalled | SourceState::Backoff => Camera::Failing,
    };
    Holding {
        epoch: source.epoch,
        warm: source.phase == Phase::Warm,
        camera,
        demand: source.demand.map(|demand| Load { streams: 1, ..load(demand) }),
    }
}

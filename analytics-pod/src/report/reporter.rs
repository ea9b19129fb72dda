//! Looks at the running pod and says how it does.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use crds::{
    EngineChoice,
    report::{PodReport, Rates},
};
use jiff::Timestamp;

use super::{
    demand::{Counters, Demand},
    describe::{Described, Now, describe},
    model::ModelProgress,
};
use crate::{
    assign::{
        ModelKey,
        kubernetes::{Assigned, Resolved},
    },
    engine::Engine,
    pod::{Models, Releasing},
    telemetry::{DropReason, Stage, StreamState, StreamTelemetry, Telemetry},
};

/// What a reporter looks at.
pub struct ReporterParts {
    /// The pod's own name.
    pub pod: String,
    /// The model that it serves.
    pub model: ModelKey,
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// The models.
    pub models: Models,
    /// Which connections are being closed.
    pub releasing: Releasing,
    /// What decodes and detects.
    pub engine: Arc<dyn Engine>,
}

/// See the module.
pub struct Reporter {
    parts: ReporterParts,
    session: i64,
    began: Instant,
    terminating: AtomicBool,
    capacity: ArcSwapOption<Rates>,
    assigned: ArcSwap<(Assigned, Resolved)>,
    model: Mutex<ModelProgress>,
    demand: Mutex<Demand>,
}

impl Reporter {
    /// Of a pod that begins now.
    #[must_use]
    pub fn new(parts: ReporterParts) -> Self {
        Self {
            parts,
            session: Timestamp::now().as_millisecond(),
            began: Instant::now(),
            terminating: AtomicBool::new(false),
            capacity: ArcSwapOption::empty(),
            assigned: ArcSwap::default(),
            model: Mutex::default(),
            demand: Mutex::default(),
        }
    }

    /// What the cluster asks and what became of it.
    pub fn set_assigned(&self, assigned: Assigned, resolved: Resolved) {
        self.assigned.store(Arc::new((assigned, resolved)));
    }

    /// What the pod can take, as it was measured.
    pub fn set_capacity(&self, capacity: Rates) {
        self.capacity.store(Some(Arc::new(capacity)));
    }

    /// SIGTERM has come.
    pub fn set_terminating(&self) {
        self.terminating.store(true, Relaxed);
    }

    /// Looks at the counters; to be called once a second.
    pub fn sample(&self) {
        let sources = self.parts.telemetry.sources();
        let streaming = sources
            .iter()
            .filter(|(_, stream)| stream.state() == StreamState::Streaming)
            .map(|(key, stream)| {
                (key.clone(), Counters { inferred: stream.inferred(), decode: stream.stage(Stage::Decode) })
            })
            .collect();
        self.demand().sample(self.began.elapsed(), streaming);
    }

    /// How the pod does now.
    #[must_use]
    pub fn report(&self) -> PodReport {
        let assigned = self.assigned.load();
        let (assigned, resolved) = &**assigned;
        let state = self.parts.models.state(&self.parts.model).unwrap_or_default();
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner).report(assigned.model.as_ref(), &state);
        let sources = self.parts.telemetry.sources();
        let demand = self.demand();
        let mut held = BTreeMap::new();
        for (key, source) in &resolved.state.sources {
            let mut now = sources.get(key).map(|stream| now(stream)).unwrap_or_default();
            now.demand = demand.of(key);
            held.insert(key.clone(), Described::Running(source, now));
        }
        for (key, refused) in &resolved.refused {
            if let Some(bound) = assigned.held.get(key) {
                held.insert(key.clone(), Described::Refused(bound.binding, refused));
            }
        }
        PodReport {
            pod: self.parts.pod.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            session: self.session,
            terminating: self.terminating.load(Relaxed),
            model,
            engine: Some(EngineChoice::Native),
            capacity: self.capacity.load().as_deref().copied(),
            engine_stalled_ms: milliseconds(self.parts.engine.stalled()),
            sources: describe(&held, &self.parts.releasing.list()),
        }
    }

    fn demand(&self) -> std::sync::MutexGuard<'_, Demand> {
        self.demand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now(stream: &StreamTelemetry) -> Now {
    Now {
        state: Some(stream.state()),
        state_ms: milliseconds(stream.state_age()),
        warmed: stream.dropped(DropReason::Warming),
        failures: stream.consecutive_failures(),
        failure: stream.last_failure().map(|failure| (failure.reason.to_string(), failure.message.clone())),
        last_frame_ms: stream.last_received_time().map(Timestamp::as_millisecond),
        format: stream.format().map(|format| (format.codec.to_string(), format.width, format.height)),
        demand: None,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! Metrics and probes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply, http::StatusCode, reply};

use crate::{clock, metrics::Metrics};

/// The control loop hangs when it has not come round for so long.
const HANGS: Duration = Duration::from_secs(60);

/// How the operator itself does.
pub(super) struct Health {
    /// When the control loop last came round, Unix milliseconds.
    beat: AtomicI64,
    /// Every watch has told all that there is.
    complete: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self { beat: AtomicI64::new(clock::now_ms()), complete: AtomicBool::new(false) }
    }
}

impl Health {
    /// The control loop comes round.
    pub(super) fn beat(&self) {
        self.beat.store(clock::now_ms(), Ordering::Relaxed);
    }

    /// The watches are complete.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    fn is_alive(&self) -> bool {
        let silent = clock::now_ms() - self.beat.load(Ordering::Relaxed);
        u128::try_from(silent).unwrap_or(0) < HANGS.as_millis()
    }
}

pub(super) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, health: Arc<Health>, stop: CancellationToken) {
    let text = move || reply::with_header(metrics.text(), "content-type", prometheus::TEXT_FORMAT).into_response();
    let verdict = |well: bool, trouble: &str| {
        let (text, status) = if well { ("ok\n", StatusCode::OK) } else { (trouble, StatusCode::SERVICE_UNAVAILABLE) };
        reply::with_status(text.to_owned(), status).into_response()
    };
    let alive = health.clone();
    let livez = move || verdict(alive.is_alive(), "the control loop hangs\n");
    let readyz =
        move || verdict(health.complete.load(Ordering::Relaxed), "the API server has not told everything yet\n");
    let routes = warp::get().and(
        warp::path!("metrics").map(text).or(warp::path!("livez").map(livez)).or(warp::path!("readyz").map(readyz)),
    );
    warp::serve(routes).incoming(listener).graceful(stop.cancelled_owned()).run().await;
}

//! Requests to the pod while it works, and how long their answers took.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    pod::{Api, PodError},
    stop::Stop,
};

/// How long answers took, by what was asked.
#[derive(Debug, Default)]
pub(crate) struct Times(Mutex<BTreeMap<&'static str, Histogram<u64>>>);

/// The answers to one kind of request, or to all.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) request: &'static str,
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Times {
    /// Adds an answer.
    pub(crate) fn record(&self, request: &'static str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.entry(request).or_insert_with(histogram).saturating_record(micros.max(1));
    }

    /// All together, then one by one.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = histogram();
        for one in times.values() {
            // Their bounds are the same.
            let _ = all.add(one);
        }
        let row = |request: &'static str, times: &Histogram<u64>| {
            let millis = |micros: u64| micros as f64 / 1e3;
            Row {
                request,
                count: times.len(),
                p50_ms: millis(times.value_at_quantile(0.5)),
                p99_ms: millis(times.value_at_quantile(0.99)),
                max_ms: millis(times.max()),
            }
        };
        let each = times.iter().map(|(request, times)| row(request, times));
        [row("all", &all)].into_iter().chain(each).collect()
    }
}

fn histogram() -> Histogram<u64> {
    // Up to a minute, at three significant digits.
    Histogram::new_with_bounds(1, 60_000_000, 3)
        .unwrap_or_else(|error| unreachable!("constant histogram bounds are valid: {error}"))
}

/// Sends a request, records how long its answer took, and returns its body.
pub(crate) fn timed(
    api: &Api,
    times: &Times,
    request: &'static str,
    (path, body, expected): (&str, Option<&Value>, u16),
) -> Result<String, PodError> {
    let began = Instant::now();
    let method = request.split(' ').next().unwrap_or_default();
    let answer = api.ask(method, path, body, expected);
    times.record(request, began.elapsed());
    answer
}

/// Asks everything that a person or a program asks of a working pod, one request every `interval`, until the end is
/// asked for. Problems are counted by what they are.
pub(crate) fn keep_asking(
    api: &Api,
    (sources, interval): (&[String], Duration),
    times: &Times,
    stop: &Stop,
) -> BTreeMap<String, u64> {
    let mut problems = BTreeMap::new();
    // With a model that stays, unlike those that come and go.
    let idle = json!({"id": "idle", "uri": "test://smpte", "model": "starter", "enabled": false});
    let mut turn = 0_usize;
    while !stop.is_requested() {
        let source = &sources[turn / ROUND % sources.len()];
        let of_source = format!("/api/v1/sources/{source}");
        // Between two thresholds, so that each is a change.
        let change = json!({"detection": {"confidence": if (turn / ROUND).is_multiple_of(2) { 0.4 } else { 0.5 }}});
        let (request, path, body, expected) = match turn % ROUND {
            0 => ("GET /api/v1/sources", "/api/v1/sources", None, 200),
            1 => ("GET /api/v1/sources/{name}", &*of_source, None, 200),
            2 => ("GET /api/v1/status", "/api/v1/status", None, 200),
            3 => ("GET /metrics", "/metrics", None, 200),
            4 => ("GET /livez", "/livez", None, 200),
            5 => ("GET /api/v1/models", "/api/v1/models", None, 200),
            6 => ("PATCH /api/v1/sources/{name}", &*of_source, Some(&change), 200),
            7 => ("POST /api/v1/sources", "/api/v1/sources", Some(&idle), 201),
            _ => ("DELETE /api/v1/sources/{name}", "/api/v1/sources/idle", None, 204),
        };
        if let Err(problem) = timed(api, times, request, (path, body, expected)) {
            *problems.entry(problem.to_string()).or_default() += 1;
        }
        turn += 1;
        // An unfinished pair would be in the way of what comes after.
        if turn % ROUND != 8 {
            stop.sleep(interval);
        }
    }
    if turn % ROUND == 8 {
        drop(api.send("DELETE", "/api/v1/sources/idle", None));
    }
    problems
}

/// Kinds of requests in a round.
const ROUND: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_requests_come_first() {
        let times = Times::default();
        for millis in 1..=100 {
            times.record("GET /livez", Duration::from_millis(millis));
        }
        times.record("POST /api/v1/sources", Duration::from_secs(2));
        let rows = times.rows();
        let told: Vec<_> = rows.iter().map(|row| (row.request, row.count)).collect();
        assert_eq!(told, [("all", 101), ("GET /livez", 100), ("POST /api/v1/sources", 1)]);
        assert!((rows[1].p99_ms - 99.0).abs() < 0.2 && (rows[0].max_ms - 2000.0).abs() < 2.0, "{rows:?}");
    }
}

//! Many sources on many pods through a real API server: how fast all are bound, what the operator writes and what it takes.
//! Prints a report as JSON; ends with 1 where a target is missed.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use crds::{DetectionModel, VideoSource};
use fake_fleet::{ControlPlane, Error, Fleet, Operator, Rights, Stage};
use futures_util::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{PostParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

/// All are bound within this time of the last create.
const BOUND_SECONDS: f64 = 60.0;

/// The operator's resident memory.
const RESIDENT_MIB: f64 = 150.0;

/// Status writes of a source from its creation to Ready.
const WRITES: u32 = 4;

/// Creates that are under way at the same time.
const IN_FLIGHT: usize = 16;

/// Nothing may take longer.
const PATIENCE: Duration = Duration::from_mins(8);

/// Measures the operator with many sources.
#[derive(Parser)]
struct Arguments {
    /// The operator's program
    #[arg(long, default_value = "target/release/operator")]
    operator: PathBuf,
    /// Sources to create
    #[arg(long, default_value_t = 2_000)]
    sources: u32,
    /// Pods to spread them over
    #[arg(long, default_value_t = 100)]
    pods: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<bool, Error> {
    let plane = tokio::task::spawn_blocking(ControlPlane::start).await;
    let plane = plane.map_err(|error| Error::Other(error.to_string()))?;
    let plane = plane.map_err(|error| Error::Other(error.to_string()))?;
    plane.furnish(10).await?;
    let stage = Stage::set(&plane, "scale", &Rights::documented()?, None).await?;
    let client = plane.client().await?;
    let _fleet = Fleet::start(&client, &stage.namespace);
    let operator = stage.operator(&arguments.operator, "operator-1", &[])?;
    let models: Api<DetectionModel> = Api::namespaced(client.clone(), &stage.namespace);
    let sources: Api<VideoSource> = Api::namespaced(client, &stage.namespace);
    let streams = arguments.sources.div_ceil(arguments.pods.max(1)).max(1);
    let began = Instant::now();
    let model = json!({
        "apiVersion": crds::API_VERSION, "kind": "DetectionModel", "metadata": { "name": "people" },
        "spec": {
            "source": { "builtin": "starter" },
            "serving": {
                "capacity": { "streams": streams }, "minPods": arguments.pods, "maxPods": arguments.pods.max(1),
                "resources": { "requests": { "cpu": "100m" } },
            },
        },
    });
    models.create(&PostParams::default(), &object(model)?).await?;
    loop {
        let status = models.get("people").await?.status.unwrap_or_default();
        if u32::try_from(status.ready_pods).unwrap_or(0) >= arguments.pods {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(Error::Other(format!("only {} pods serve; the log: {}", status.ready_pods, operator.log())));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let pods_ready = began.elapsed();
    let watching = tokio::spawn(count(sources.clone(), arguments.sources));
    let creating = Instant::now();
    stream::iter(0..arguments.sources)
        .map(|index| {
            let sources = sources.clone();
            async move {
                let source = json!({
                    "apiVersion": crds::API_VERSION, "kind": "VideoSource",
                    "metadata": { "name": format!("camera-{index}") },
                    "spec": {
                        "uri": format!("rtsp://camera-{index}.example/1"), "modelRef": { "name": "people" },
                        "detection": { "fps": 10 },
                    },
                });
                sources.create(&PostParams::default(), &object(source)?).await.map_err(Error::from)
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(async |_| Ok(()))
        .await?;
    let created = Instant::now();
    let counted = watching.await.map_err(|error| Error::Other(error.to_string()))??;
    let resident = resident_mib(&operator)?;
    // The rest that follows: nothing may be written.
    let writes_before = writes(&operator).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let writes_after = writes(&operator).await?;
    let bound_seconds = counted.bound.saturating_duration_since(created).as_secs_f64();
    let most = counted.writes.values().copied().max().unwrap_or(0);
    let met = bound_seconds <= BOUND_SECONDS && resident.0.max(resident.1) <= RESIDENT_MIB && most <= WRITES;
    let report = json!({
        "sources": arguments.sources,
        "pods": arguments.pods,
        "podsServeSeconds": pods_ready.as_secs_f64(),
        "createSeconds": created.duration_since(creating).as_secs_f64(),
        "boundSecondsAfterLastCreate": bound_seconds,
        "readySecondsAfterLastCreate": counted.ready.saturating_duration_since(created).as_secs_f64(),
        "statusWritesPerSource": {
            "most": most,
            "mean": f64::from(counted.writes.values().sum::<u32>()) / f64::from(arguments.sources.max(1)),
        },
        "operatorResidentMiB": { "now": resident.0, "peak": resident.1 },
        "apiWrites": writes_after,
        "apiWritesInTenSecondsAtRest": total(&writes_after) - total(&writes_before),
        "targetsMet": met,
    });
    println!("{report:#}");
    Ok(met)
}

fn object<K: DeserializeOwned>(value: Value) -> Result<K, Error> {
    serde_json::from_value(value).map_err(|error| Error::Other(error.to_string()))
}

/// What a watch has seen.
struct Counted {
    /// When the last source was bound for the first time.
    bound: Instant,
    /// When the last one was ready for the first time.
    ready: Instant,
    /// By source: status writes until it was ready.
    writes: HashMap<String, u32>,
}

async fn count(sources: Api<VideoSource>, expected: u32) -> Result<Counted, Error> {
    let now = Instant::now();
    let mut counted = Counted { bound: now, ready: now, writes: HashMap::new() };
    let (mut bound, mut ready) = (HashSet::new(), HashSet::new());
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    let mut version = "0".to_owned();
    while ready.len() < expected {
        if now.elapsed() > PATIENCE {
            return Err(Error::Other(format!("{} bound and {} ready of {expected}", bound.len(), ready.len())));
        }
        let watch = sources.watch(&WatchParams::default().timeout(250), &version).await?;
        let mut watch = std::pin::pin!(watch.take_until(tokio::time::sleep(PATIENCE.saturating_sub(now.elapsed()))));
        while let Some(event) = watch.next().await {
            let WatchEvent::Modified(source) = event? else { continue };
            let name = source.metadata.name.clone().unwrap_or_default();
            version = source.metadata.resource_version.clone().unwrap_or_default();
            let status = source.status.unwrap_or_default();
            if !ready.contains(&name) {
                *counted.writes.entry(name.clone()).or_default() += 1;
            }
            if status.assignment.is_some() && bound.insert(name.clone()) {
                counted.bound = Instant::now();
            }
            let is_ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
            if is_ready && ready.insert(name) {
                counted.ready = Instant::now();
            }
            if ready.len() == expected {
                break;
            }
        }
    }
    Ok(counted)
}

/// Resident memory of a process, now and at its most, in MiB.
fn resident_mib(operator: &Operator) -> Result<(f64, f64), Error> {
    let file = format!("/proc/{}/status", operator.id());
    let text = std::fs::read_to_string(&file).map_err(|source| Error::Io { what: file, source })?;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(f64::MAX) / 1_024.0
    };
    Ok((field("VmRSS:"), field("VmHWM:")))
}

/// The operator's writes by kind, verb and result, as its metrics tell.
async fn writes(operator: &Operator) -> Result<serde_json::Map<String, Value>, Error> {
    let address = operator.address().ok_or_else(|| Error::Other("the operator tells no address".to_owned()))?;
    let text = metrics(&address).await?;
    let of_writes = text.lines().filter_map(|line| line.strip_prefix("vision_operator_api_writes_total"));
    let parsed = of_writes.filter_map(|line| {
        let (labels, value) = line.rsplit_once(' ')?;
        Some((labels.trim_matches(['{', '}']).replace('"', ""), json!(value.parse::<f64>().ok()?)))
    });
    Ok(parsed.collect())
}

/// What the operator tells under `/metrics`.
async fn metrics(address: &str) -> Result<String, Error> {
    let failed = |source| Error::Io { what: format!("http://{address}/metrics"), source };
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.map_err(failed)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.map_err(failed)?;
    Ok(text)
}

fn total(writes: &serde_json::Map<String, Value>) -> f64 {
    writes.values().filter_map(Value::as_f64).sum()
}

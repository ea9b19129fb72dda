//! The control port: what the cameras are, what they sent, and how they shall misbehave.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};
use warp::{
    Filter, Rejection, Reply,
    http::{StatusCode, header::CONTENT_TYPE},
    reply::Response,
};

use crate::{
    camera::{Camera, FaultError},
    fault::FaultRequest,
    sent::SentFrame,
    simulator::{SimulatorError, Site},
    truth,
};

/// What a request may ask for at once.
const MAX_BODY_BYTES: u64 = 64 << 10;
/// How long requests in hand may go on when the simulator ends.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A running control port.
#[derive(Debug)]
pub(crate) struct ControlServer {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ControlServer {
    pub(crate) fn start(address: SocketAddr, site: Arc<Site>) -> std::io::Result<Self> {
        let runtime: Runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("control")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = warp::serve(routes(site)).incoming(listener).run() => {},
                    _ = stopped => {},
                }
            });
            runtime.shutdown_timeout(STOP_TIMEOUT);
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LastQuery {
    last: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentQuery {
    #[serde(default)]
    from: u64,
    #[serde(default)]
    follow: bool,
}

#[derive(Serialize)]
struct SentPage<'a> {
    camera: &'a str,
    /// What to ask `from` next time.
    next: u64,
    frames: Vec<SentFrame>,
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
}

fn routes(site: Arc<Site>) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let with_site = warp::any().map(move || Arc::clone(&site));
    let cameras = warp::path!("cameras").and(warp::get()).and(with_site.clone()).map(|site: Arc<Site>| {
        let infos: Vec<_> = site.cameras.iter().map(|camera| camera.info()).collect();
        warp::reply::json(&infos).into_response()
    });
    let camera = warp::path!("cameras" / String)
        .and(warp::get())
        .and(with_site.clone())
        .map(|name: String, site: Arc<Site>| answer(site.camera(&name).map(|camera| camera.info())));
    let all_sent = warp::path!("sent")
        .and(warp::get())
        .and(warp::query())
        .and(with_site.clone())
        .map(|query: LastQuery, site: Arc<Site>| all_sent(query.last, &site));
    let sent = warp::path!("cameras" / String / "sent")
        .and(warp::get())
        .and(warp::query())
        .and(with_site.clone())
        .map(|name: String, query: SentQuery, site: Arc<Site>| sent(&name, &query, &site));
    let truth = warp::path!("cameras" / String / "truth")
        .and(warp::get())
        .and(with_site.clone())
        .then(|name: String, site: Arc<Site>| async { blocking(move || ground_truth(&name, &site)).await });
    let fault = warp::path!("cameras" / String / "fault")
        .and(warp::post())
        .and(warp::body::content_length_limit(MAX_BODY_BYTES))
        .and(warp::body::bytes())
        .and(with_site.clone())
        .then(fault);
    let heal = warp::path!("cameras" / String / "heal").and(warp::post()).and(with_site).then(
        |name: String, site: Arc<Site>| async {
            blocking(move || {
                answer(site.camera(&name).and_then(|camera| {
                    camera.heal(&site.around)?;
                    Ok(camera.info())
                }))
            })
            .await
        },
    );
    let answers = cameras.or(camera).unify().or(all_sent).unify().or(sent).unify();
    answers.or(truth).unify().or(fault).unify().or(heal).unify().recover(refuse)
}

/// `{"north":[[loop,frame,sentTime],…],…}`.
fn all_sent(count: usize, site: &Site) -> Response {
    let sent: BTreeMap<&str, Vec<(u64, u32, u64)>> = site
        .cameras
        .iter()
        .map(|camera| {
            let feed = camera.feed();
            let last = feed.sent().last(count).map(|sent| (sent.repetition, sent.frame, sent.sent_time)).collect();
            (camera.config.name.as_str(), last)
        })
        .collect();
    warp::reply::json(&sent).into_response()
}

fn sent(name: &str, query: &SentQuery, site: &Site) -> Response {
    match site.camera(name) {
        Err(error) => problem(&error),
        Ok(camera) if query.follow => follow(Arc::clone(camera), query.from),
        Ok(camera) => {
            let feed = camera.feed();
            let frames = feed.sent().since(query.from).collect();
            warp::reply::json(&SentPage { camera: name, next: feed.sent().next(), frames }).into_response()
        }
    }
}

/// JSON lines without end.
fn follow(camera: Arc<Camera>, from: u64) -> Response {
    let told = camera.feed().sent().follow();
    let start = (camera, told, from, VecDeque::new());
    let lines = stream::unfold(start, |(camera, mut told, mut next, mut waiting)| async move {
        while waiting.is_empty() {
            waiting.extend(camera.feed().sent().since(next));
            if waiting.is_empty() {
                told.changed().await.ok()?;
            }
        }
        let frame: SentFrame = waiting.pop_front()?;
        next = frame.sequence + 1;
        let line = serde_json::to_string(&frame).map(|line| line + "\n");
        Some((line, (camera, told, next, waiting)))
    });
    let mut response = warp::reply::stream(lines).into_response();
    response.headers_mut().insert(CONTENT_TYPE, JSON_LINES);
    response
}

const JSON_LINES: warp::http::HeaderValue = warp::http::HeaderValue::from_static("application/x-ndjson");

fn ground_truth(name: &str, site: &Site) -> Response {
    let camera = match site.camera(name) {
        Ok(camera) => camera,
        Err(error) => return problem(&error),
    };
    let Some(scene) = camera.shown_scene() else {
        return refusal(
            StatusCode::NOT_FOUND,
            "no ground truth",
            format!("camera {name} plays a file, whose content nobody knows"),
        );
    };
    match truth::lines(&scene) {
        Ok(lines) => warp::reply::with_header(lines, CONTENT_TYPE, JSON_LINES).into_response(),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "no ground truth", error.to_string()),
    }
}

async fn fault(name: String, body: warp::hyper::body::Bytes, site: Arc<Site>) -> Response {
    let bad = |detail: String| refusal(StatusCode::BAD_REQUEST, "not a fault", detail);
    let request: FaultRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return bad(error.to_string()),
    };
    let (fault, duration) = match request.resolve() {
        Ok(resolved) => resolved,
        Err(error) => return bad(error.to_string()),
    };
    let healing = tokio::runtime::Handle::current();
    blocking(move || {
        answer(site.misbehave(&name, fault).and_then(|turn| {
            let info = site.camera(&name)?.info();
            if let Some(duration) = duration {
                healing.spawn(heal_after(duration, name, turn, site));
            }
            Ok(info)
        }))
    })
    .await
}

async fn heal_after(duration: Duration, name: String, turn: u64, site: Arc<Site>) {
    tokio::time::sleep(duration).await;
    let healed = tokio::task::spawn_blocking(move || site.heal_turn(&name, turn)).await;
    if let Ok(Err(error)) = healed {
        tracing::error!(%error, "a camera does not heal");
    }
}

/// Opening and closing doors waits for pipelines, encoding takes its time: neither may hold up other requests.
async fn blocking(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| refusal(StatusCode::INTERNAL_SERVER_ERROR, "the request failed", error.to_string()))
}

fn answer<T: Serialize>(result: Result<T, SimulatorError>) -> Response {
    match result {
        Ok(value) => warp::reply::json(&value).into_response(),
        Err(error) => problem(&error),
    }
}

fn problem(error: &SimulatorError) -> Response {
    let (status, title) = match error {
        SimulatorError::NoCamera(_) => (StatusCode::NOT_FOUND, "no such camera"),
        SimulatorError::Fault(FaultError::NotAScene(_)) => (StatusCode::CONFLICT, "impossible for this camera"),
        SimulatorError::Fault(FaultError::Size { .. }) => (StatusCode::BAD_REQUEST, "not a size"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "the camera does not obey"),
    };
    refusal(status, title, error.to_string())
}

fn refusal(status: StatusCode, title: &'static str, detail: String) -> Response {
    let problem = Problem { title, status: status.as_u16(), detail };
    let body = warp::reply::with_status(warp::reply::json(&problem), status);
    warp::reply::with_header(body, CONTENT_TYPE, "application/problem+json").into_response()
}

async fn refuse(rejection: Rejection) -> Result<Response, Infallible> {
    let (status, title) = if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "no such resource")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        (StatusCode::METHOD_NOT_ALLOWED, "not this method")
    } else {
        (StatusCode::BAD_REQUEST, "bad request")
    };
    Ok(refusal(status, title, format!("{rejection:?}")))
}

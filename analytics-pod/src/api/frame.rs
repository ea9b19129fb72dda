//! The next published frame of a source, with what was detected drawn into it.

use std::{sync::LazyLock, time::Duration};

use tokio::sync::Semaphore;
use tracing::debug;
use warp::http::StatusCode;

use super::{
    Services,
    answers::{Source, SourceState},
    message::Answer,
    problem::Failure,
};
use crate::{
    observation::{Observation, SourceKey},
    request_id::RequestId,
};

/// How long a frame is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// When to ask again where there is none.
const RETRY_SECONDS: &str = "5";

/// JPEGs that are made at the same time: each costs what detecting would use.
static ENCODERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

pub(super) async fn answer(
    services: &Services,
    request: &RequestId,
    source: &Source,
    key: &SourceKey,
) -> Result<Answer, Failure> {
    let state = source.status.state;
    let is_coming = matches!(state, SourceState::Streaming | SourceState::Connecting | SourceState::Idle);
    let frame = if is_coming { services.frames.next(key, PATIENCE).await } else { None };
    let Some(frame) = frame else { return Err(none(source)) };
    let Observation { epoch, session, frame: number, capture_time: time, .. } = frame.observation;
    debug!(source = %key, epoch, session, frame = number, request_id = request.as_str(), "frame handed out");
    let failed = |why: &str| {
        let detail = format!("the picture cannot be made: {why}");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "no-picture", "There is no picture", detail)
    };
    let _turn = ENCODERS.acquire().await.map_err(|_| failed("the pod is ending"))?;
    let jpeg = tokio::task::spawn_blocking(move || frame.to_jpeg()).await;
    let jpeg = jpeg.map_err(|_| failed("a fault of this program"))?.map_err(|error| failed(&error.to_string()))?;
    let mut answer = Answer::new(StatusCode::OK, "image/jpeg", jpeg);
    answer.headers.push(("x-frame-number", number.to_string()));
    answer.headers.push(("x-capture-time", format!("{time:.6}")));
    Ok(answer)
}

fn none(source: &Source) -> Failure {
    let status = &source.status;
    let why = match (status.state, &status.message, &status.last_error) {
        (SourceState::Disabled, ..) => "it is not enabled".to_owned(),
        (_, Some(message), _) => message.clone(),
        (SourceState::Streaming, ..) => {
            format!("none was published within {} s; detection.fps or interval may ask for fewer", PATIENCE.as_secs())
        }
        (state, _, Some(error)) => format!("it is {state:?} ({}: {})", error.reason, error.message),
        (state, ..) => format!("it is {state:?}"),
    };
    let detail = format!("there is no frame of {}/{}: {why}", source.namespace, source.id);
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "no-frame", "There is no frame", detail)
        .with_header("retry-after", RETRY_SECONDS)
}

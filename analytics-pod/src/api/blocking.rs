//! Work that waits for the disk, beside the threads that answer.

use warp::http::StatusCode;

use super::problem::Failure;
use crate::assign::rest::ChangeError;

/// Runs what may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, ChangeError> + Send + 'static,
) -> Result<T, Failure> {
    let Ok(changed) = tokio::task::spawn_blocking(what).await else {
        let detail = "a fault of this program; its log says more";
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "The change failed", detail));
    };
    Ok(changed?)
}

//! Work that may hang, done beside the caller.

use std::{thread, time::Duration};

use crossbeam_channel::bounded;

/// Runs `work` in a thread of its own and waits for it up to `timeout`. `None`: it is still running, and is left to
/// itself, or it could not be started.
pub(super) fn within<T: Send + 'static>(
    name: &str,
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = bounded(1);
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    if let Err(error) = spawned {
        tracing::error!(%error, thread = name, "cannot start a thread");
        return None;
    }
    result.recv_timeout(timeout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hanging_work_is_left_behind() {
        let (release, blocked) = bounded::<()>(0);
        assert_eq!(within("test", Duration::from_mins(1), || 7), Some(7));
        assert_eq!(within("test", Duration::from_millis(1), move || blocked.recv().is_ok()), None);
        drop(release);
    }
}

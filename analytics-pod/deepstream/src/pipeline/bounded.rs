//! Calls into elements that may never come back, made beside the caller.

use std::{sync::mpsc::channel, thread, time::Duration};

/// Runs `work` in a thread of its own and waits for it up to `timeout`. `None`: it is still running and is left to
/// itself (nothing can end a thread that hangs in a library), or it could not be started.
pub(super) fn within<T: Send + 'static>(
    name: &str,
    timeout: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, result) = channel();
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(work());
    });
    spawned.ok()?;
    result.recv_timeout(timeout).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn work_that_hangs_or_panics_is_left_behind() {
        let (release, blocked) = sync_channel::<()>(0);
        assert_eq!(within("test", Duration::from_mins(1), || 7), Some(7));
        assert_eq!(within("test", Duration::from_millis(1), move || blocked.recv().is_ok()), None);
        drop(release);
    }
}

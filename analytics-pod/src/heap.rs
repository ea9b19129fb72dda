//! What the C library's allocator keeps of memory that was let go of.
//!
//! glibc gives each thread that allocates an arena of its own, up to eight a core, and returns an arena's memory to the
//! system only from its end. Pipelines and models come and go in threads that come and go, so each arena ends up holding
//! tens of megabytes of which little is in use. Few arenas, and giving back their free pages once a source, an attempt
//! or a model has gone, keep the pod's memory at what it uses. On other C libraries nothing is done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long pipelines and sessions that were told to end may take before what they held is given back.
const SETTLING: Duration = Duration::from_secs(2);

/// Limits the number of arenas. Call it before any thread is started; the environment's `MALLOC_ARENA_MAX` goes before.
pub fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // One for the main thread and one for all others would do for memory; threads that allocate at the same time
        // wait for one another then.
        const ARENAS: libc::c_int = 2;
        // SAFETY: mallopt takes two integers and touches the allocator's parameters only, which no other thread reads
        // while there is none.
        let limited = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
        debug_assert_eq!(limited, 1, "glibc knows this parameter since 2.10");
    }
}

/// Gives free pages back to the system. Takes milliseconds, and nothing may need them again soon.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called from any thread at any time; it releases only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives memory back after something large was let go of. Clones share the appointment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Release {
    appointed: Arc<AtomicBool>,
}

impl Release {
    /// Gives memory back in a moment, once for all who ask until then.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub(crate) fn soon(&self) {
        if self.appointed.swap(true, Relaxed) {
            return;
        }
        let appointed = Arc::clone(&self.appointed);
        tokio::spawn(async move {
            tokio::time::sleep(SETTLING).await;
            appointed.store(false, Relaxed);
            // It has nothing to tell, and where the runtime is ending so is the process.
            drop(tokio::task::spawn_blocking(give_back).await);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_share_one_appointment() {
        let release = Release::default();
        let again = release.clone();
        release.soon();
        again.soon();
        assert!(release.appointed.load(Relaxed));
        tokio::time::sleep(SETTLING * 2).await;
        assert!(!again.appointed.load(Relaxed), "the next one who asks gets a new one");
    }
}

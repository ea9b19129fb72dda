//! The processor time of the calling thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment on the calling thread's processor clock; meaningless on any other thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadTime(Duration);

impl ThreadTime {
    pub(super) fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Self(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32))
    }

    /// Processor time since then.
    pub(super) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn only_work_of_this_thread_counts() {
        let start = ThreadTime::now();
        let other = std::thread::spawn(|| (0..2_000_000_u64).fold(0, |sum, value| black_box(sum ^ value)));
        black_box(other.join().unwrap_or_default());
        let waited = start.elapsed();
        let worked = ThreadTime::now();
        black_box((0..2_000_000_u64).fold(0, |sum, value| black_box(sum ^ value)));
        assert!(worked.elapsed() > waited, "waiting cost {waited:?}, working {:?}", worked.elapsed());
    }
}

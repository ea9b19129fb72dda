//! Between the decoders and the workers: one slot a source, and who is next.
//!
//! A frame that comes takes the place of one that waits, but for one that came just before it: a decoder gives frames that
//! were sent out of order (B-frames) several at a time, and a detector that keeps up on average shall have them all.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    detector::Detector,
    fair::FairQueue,
    stream::{Frame, Stream},
};

/// Frames of one burst that wait at the most: H.264 and H.265 cameras send up to three out of order.
const BURST: usize = 4;

/// A source in the scheduler.
pub(super) type LaneId = u64;

/// A frame for a worker.
pub(super) struct Job {
    pub(super) lane: LaneId,
    pub(super) stream: Arc<Stream>,
    pub(super) detector: Arc<dyn Detector>,
    pub(super) frame: Frame,
    /// Counts the frames taken from this source, from 0.
    pub(super) ticket: u64,
}

/// What a worker is to do.
pub(super) enum Work {
    /// Infer these, all with the same model and of different sources.
    Infer(Vec<Job>),
    /// Let go of sessions of models other than these.
    KeepModels(Vec<usize>),
    /// End.
    Leave,
}

/// See the module.
pub(super) struct Scheduler {
    state: Mutex<State>,
    /// One for each worker, so that the one that idles shortest is woken: its caches are warm, and workers that are
    /// not needed never open a session.
    wake: Vec<Condvar>,
}

struct State {
    queue: FairQueue<LaneId>,
    lanes: HashMap<LaneId, Lane>,
    next_lane: LaneId,
    /// Idle workers, shortest idle last.
    idle: Vec<usize>,
    /// Counts models that went out of use, and what each worker knows of that.
    retired: u64,
    seen: Vec<u64>,
    /// Since when frames wait or are in flight and none has been delivered.
    unanswered: Option<Instant>,
    open: bool,
}

struct Lane {
    stream: Arc<Stream>,
    /// The model of the last frame taken.
    model: Option<usize>,
    /// Oldest first.
    waiting: VecDeque<Frame>,
    in_flight: usize,
    taken: u64,
    /// The slot was emptied, a frame was delivered, or the stream is to stop.
    changed: Arc<Condvar>,
}

impl Lane {
    /// Frames of one source side by side are as many as there are workers: they queue for nothing else, and come out
    /// in order.
    fn is_eligible(&self, workers: usize) -> bool {
        self.in_flight < workers
    }
}

impl Scheduler {
    pub(super) fn new(workers: usize) -> Self {
        let state = State {
            queue: FairQueue::new(),
            lanes: HashMap::new(),
            next_lane: 0,
            idle: Vec::new(),
            retired: 0,
            seen: vec![0; workers],
            unanswered: None,
            open: true,
        };
        Self { state: Mutex::new(state), wake: (0..workers).map(|_| Condvar::new()).collect() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_one(&self, state: &mut State) {
        if let Some(worker) = state.idle.pop() {
            self.wake[worker].notify_one();
        }
    }

    fn wake_all(&self, state: &mut State) {
        state.idle.clear();
        self.wake.iter().for_each(Condvar::notify_one);
    }

    /// A source comes.
    pub(super) fn add(&self, stream: Arc<Stream>) -> LaneId {
        let mut state = self.lock();
        let id = state.next_lane;
        state.next_lane += 1;
        state.queue.add(id, stream.detection.load().weight);
        let lane = Lane {
            stream,
            model: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            taken: 0,
            changed: Arc::new(Condvar::new()),
        };
        state.lanes.insert(id, lane);
        id
    }

    /// A source goes. Frames of it in flight are still delivered.
    pub(super) fn remove(&self, id: LaneId) {
        let mut state = self.lock();
        state.queue.remove(id);
        let Some(lane) = state.lanes.remove(&id) else { return };
        state.settle_unanswered();
        if state.retire(lane.model) {
            self.wake_all(&mut state);
        }
    }

    /// Puts `frame` in the source's slot; returns how many frames it replaces. Those that waited for less than
    /// `burst` stay beside it.
    pub(super) fn offer(&self, id: LaneId, frame: Frame, burst: Duration) -> usize {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(&id) else { return 1 };
        let before = lane.waiting.len();
        lane.waiting.retain(|waiting| frame.ready.saturating_duration_since(waiting.ready) < burst);
        while lane.waiting.len() >= BURST {
            lane.waiting.pop_front();
        }
        let replaced = before - lane.waiting.len();
        self.put(&mut state, id, frame, replaced == 0);
        replaced
    }

    /// Puts `frame` in the source's slot once it is empty; gives it back if the stream is to stop.
    pub(super) fn submit(&self, id: LaneId, frame: Frame) -> Result<(), Frame> {
        let mut state = self.lock();
        loop {
            let Some(lane) = state.lanes.get(&id) else { return Err(frame) };
            if lane.stream.stop.is_requested() {
                return Err(frame);
            }
            if lane.waiting.is_empty() {
                self.put(&mut state, id, frame, true);
                return Ok(());
            }
            let changed = lane.changed.clone();
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// `more`: there is one more frame than before, for which a worker is woken; for one that was replaced one was.
    fn put(&self, state: &mut State, id: LaneId, frame: Frame, more: bool) {
        let Some(lane) = state.lanes.get_mut(&id) else { return };
        lane.waiting.push_back(frame);
        state.unanswered.get_or_insert_with(Instant::now);
        let (weight, eligible) = (lane.stream.detection.load().weight, lane.is_eligible(self.wake.len()));
        state.queue.set_weight(id, weight);
        state.queue.wait(id);
        if more && eligible {
            self.wake_one(state);
        }
    }

    /// Waits until no frame of the source is in flight or, if it is not to stop, in its slot. Returns how many
    /// stayed behind in the slot.
    pub(super) fn settle(&self, id: LaneId) -> usize {
        let mut state = self.lock();
        loop {
            let Some(lane) = state.lanes.get(&id) else { return 0 };
            let stopping = lane.stream.stop.is_requested();
            if !state.open || (lane.in_flight == 0 && (stopping || lane.waiting.is_empty())) {
                break;
            }
            let changed = lane.changed.clone();
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.queue.withdraw(id);
        let left = state.lanes.get_mut(&id).map_or(0, |lane| std::mem::take(&mut lane.waiting).len());
        state.settle_unanswered();
        left
    }

    /// How long frames have been waiting without one being delivered.
    pub(super) fn stalled(&self, now: Instant) -> Duration {
        self.lock().unanswered.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The source's stop was requested: whoever waits for its slot looks again.
    pub(super) fn stop_requested(&self, id: LaneId) {
        if let Some(lane) = self.lock().lanes.get(&id) {
            lane.changed.notify_all();
        }
    }

    /// `count` frames of the source are not in flight any more.
    pub(super) fn delivered(&self, id: LaneId, count: usize) {
        let mut state = self.lock();
        let workers = self.wake.len();
        let Some(lane) = state.lanes.get_mut(&id) else { return };
        let was_eligible = lane.is_eligible(workers);
        lane.in_flight = lane.in_flight.saturating_sub(count);
        lane.changed.notify_all();
        let goes_on = !was_eligible && lane.is_eligible(workers) && !lane.waiting.is_empty();
        state.unanswered = Some(Instant::now());
        state.settle_unanswered();
        if goes_on {
            self.wake_one(&mut state);
        }
    }

    /// Waits for work for `worker`.
    pub(super) fn take(&self, worker: usize) -> Work {
        let mut state = self.lock();
        loop {
            if !state.open {
                return Work::Leave;
            }
            if state.seen[worker] != state.retired {
                state.seen[worker] = state.retired;
                return Work::KeepModels(state.lanes.values().filter_map(|lane| lane.model).collect());
            }
            let retired = state.retired;
            if let Some(jobs) = state.next_jobs(self.wake.len()) {
                if state.retired != retired {
                    self.wake_all(&mut state);
                }
                return Work::Infer(jobs);
            }
            state.idle.push(worker);
            while state.open && state.idle.contains(&worker) {
                state = self.wake[worker].wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Ends the workers after the frames that they have in hand.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        for lane in state.lanes.values() {
            lane.changed.notify_all();
        }
        self.wake_all(&mut state);
    }
}

impl State {
    /// Nothing is unanswered where nothing waits and nothing is in flight.
    fn settle_unanswered(&mut self) {
        if self.lanes.values().all(|lane| lane.waiting.is_empty() && lane.in_flight == 0) {
            self.unanswered = None;
        }
    }

    /// The next frame, and others for the same run as far as the model takes them.
    fn next_jobs(&mut self, workers: usize) -> Option<Vec<Job>> {
        let Self { queue, lanes, .. } = self;
        let is_eligible = |id: &LaneId| lanes.get(id).is_some_and(|lane| lane.is_eligible(workers));
        let first = queue.take(|id| is_eligible(&id))?;
        let detector = lanes.get(&first)?.stream.model.current();
        let batch = detector.info().input.max_batch.max(1);
        let mut chosen = vec![first];
        while chosen.len() < batch {
            let same = |id| lanes.get(&id).is_some_and(|lane| lane.stream.model.current().id() == detector.id());
            let Some(next) = queue.take(|id| is_eligible(&id) && same(id)) else { break };
            chosen.push(next);
        }
        let mut jobs = Vec::with_capacity(chosen.len());
        for id in chosen {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            let Some(frame) = lane.waiting.pop_front() else { continue };
            if !lane.waiting.is_empty() {
                self.queue.wait(id);
            }
            let before = lane.model.replace(detector.id());
            let (stream, ticket) = (lane.stream.clone(), lane.taken);
            lane.in_flight += 1;
            lane.taken += 1;
            lane.changed.notify_all();
            if before != Some(detector.id()) {
                self.retire(before);
            }
            jobs.push(Job { lane: id, stream, detector: detector.clone(), frame, ticket });
        }
        Some(jobs)
    }

    /// A source does not use `model` any more. Whether nobody does.
    fn retire(&mut self, model: Option<usize>) -> bool {
        let unused = model.is_some() && self.lanes.values().all(|lane| lane.model != model);
        self.retired += u64::from(unused);
        unused
    }
}

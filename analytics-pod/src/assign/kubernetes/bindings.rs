//! Which sources a pod holds, folded from two watches that know nothing of each other. Pure: time is passed in.
//!
//! One write to a source's status reaches a pod as a deletion on one watch and an addition on the other, in either
//! order. So the pod holds what either watch delivers, and lets go of a source only when neither has delivered it for
//! [`GRACE`]. Meanwhile everything stays as it is: who consumes observations keeps the highest epoch. A watch whose
//! connection was cut off may hang for longer than that, so the API server is asked as well ([`Bindings::questions`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crds::{VideoSource, VideoSourceSpec};

use crate::{assign::Binding, observation::SourceKey};

/// How long the other watch may take to deliver what one has lost.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Which binding a watch selects by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// `status.assignment.pod`
    Assignment = 0,
    /// `status.handover.pod`
    Handover = 1,
}

/// What a pod needs to know of a VideoSource.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which.
    pub key: SourceKey,
    /// Counts the changes of `spec`.
    pub generation: i64,
    /// The pod that publishes, and the binding's epoch.
    pub assignment: Option<(Arc<str>, u64)>,
    /// The pod that warms up, and the binding's epoch.
    pub handover: Option<(Arc<str>, u64)>,
    /// What is asked.
    pub spec: Arc<VideoSourceSpec>,
}

impl Seen {
    /// Nothing of an object that was never stored.
    #[must_use]
    pub fn of(object: VideoSource) -> Option<Self> {
        let status = object.status.unwrap_or_default();
        let epoch = |epoch: i64| u64::try_from(epoch).unwrap_or_default();
        Some(Self {
            key: SourceKey::new(&object.metadata.namespace?, &object.metadata.name?),
            generation: object.metadata.generation.unwrap_or_default(),
            assignment: status.assignment.map(|bound| (bound.pod.into(), epoch(bound.epoch))),
            handover: status.handover.map(|bound| (bound.pod.into(), epoch(bound.epoch))),
            spec: Arc::new(object.spec),
        })
    }

    /// What it has for `pod`.
    fn binding(&self, pod: &str) -> Option<Binding> {
        let of_pod = |bound: &Option<(Arc<str>, u64)>| {
            bound.as_ref().filter(|(name, _)| **name == *pod).map(|(_, epoch)| *epoch)
        };
        of_pod(&self.assignment)
            .map(|epoch| Binding { epoch, publishes: true })
            .or_else(|| of_pod(&self.handover).map(|epoch| Binding { epoch, publishes: false }))
    }
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Everything that there is: after the start, and whenever the watch had to begin anew.
    Listed(Vec<Arc<Seen>>),
    /// An object that is there, new or changed.
    Applied(Arc<Seen>),
    /// An object that is not there any more.
    Gone(SourceKey),
}

/// A source that the pod holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Under which binding.
    pub binding: Binding,
    /// The object as it was last delivered.
    pub seen: Arc<Seen>,
    lost: Option<Lost>,
}

/// Both watches have lost a source.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lost {
    at: Duration,
    question: u64,
}

/// Whether the pod still has a source that both watches have lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub key: SourceKey,
    number: u64,
}

/// See the module. Times are since any fixed moment and never go back.
#[derive(Clone, Debug)]
pub struct Bindings {
    pod: Arc<str>,
    views: [BTreeMap<SourceKey, Arc<Seen>>; 2],
    held: BTreeMap<SourceKey, Held>,
    /// The newest binding that the pod has had of each source: one of a lower epoch is older news, and what publishes
    /// never warms up again under the same epoch.
    newest: BTreeMap<SourceKey, Binding>,
    questions: Vec<Question>,
    asked: u64,
    draining: bool,
}

impl Bindings {
    /// Of the pod with this name, which holds nothing so far.
    #[must_use]
    pub fn new(pod: &str) -> Self {
        Self {
            pod: pod.into(),
            views: [BTreeMap::new(), BTreeMap::new()],
            held: BTreeMap::new(),
            newest: BTreeMap::new(),
            questions: Vec::new(),
            asked: 0,
            draining: false,
        }
    }

    /// One of the watches tells something at `now`.
    pub fn told(&mut self, watched: Watched, told: Told, now: Duration) {
        let view = &mut self.views[watched as usize];
        let touched: BTreeSet<SourceKey> = match told {
            Told::Listed(objects) => {
                let objects = objects.into_iter().map(|seen| (seen.key.clone(), seen)).collect();
                let before = std::mem::replace(view, objects);
                before.into_keys().chain(view.keys().cloned()).collect()
            }
            Told::Applied(seen) => {
                let key = seen.key.clone();
                view.insert(key.clone(), seen);
                [key].into()
            }
            Told::Gone(key) => {
                view.remove(&key);
                [key].into()
            }
        };
        for key in touched {
            self.fold(&key, now);
        }
        self.tick(now);
    }

    /// From now on nothing new is taken; what is held is kept until it is lost.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Lets go of what has been lost for long enough.
    pub fn tick(&mut self, now: Duration) {
        self.held.retain(|_, held| held.lost.is_none_or(|lost| now < lost.at + GRACE));
    }

    /// When to call [`Self::tick`] next; `None`: only after something was told.
    #[must_use]
    pub fn next_tick(&self) -> Option<Duration> {
        self.held.values().filter_map(|held| held.lost).map(|lost| lost.at).min().map(|lost| lost + GRACE)
    }

    /// What is to be asked of the API server, each once.
    pub fn questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// The object as the API server has it. Where the pod has it still, that is what one of the watches has not delivered
    /// yet; where one of them has told something since the question, the answer is older news.
    pub fn answered(&mut self, question: &Question, seen: Seen, now: Duration) {
        let lost = self.held.get(&question.key).and_then(|held| held.lost);
        if lost.is_none_or(|lost| lost.question != question.number) {
            return;
        }
        if let Some(Binding { publishes, .. }) = seen.binding(&self.pod) {
            let watched = if publishes { Watched::Assignment } else { Watched::Handover };
            self.told(watched, Told::Applied(Arc::new(seen)), now);
        }
    }

    /// The object as a watch has it.
    pub(super) fn delivered(&self, watched: Watched, key: &SourceKey) -> Option<Arc<Seen>> {
        self.views[watched as usize].get(key).cloned()
    }

    /// What the pod holds.
    #[must_use]
    pub const fn held(&self) -> &BTreeMap<SourceKey, Held> {
        &self.held
    }

    /// Works out anew how `key` is held.
    fn fold(&mut self, key: &SourceKey, now: Duration) {
        let held = self.held.get(key).map(|held| held.binding.epoch);
        let newest = self.newest.get(key);
        let is_news = |binding: &Binding| {
            let is_older =
                newest.is_some_and(|newest| (binding.epoch, binding.publishes) < (newest.epoch, newest.publishes));
            !is_older && (!self.draining || held == Some(binding.epoch))
        };
        let delivered = self.views.iter().filter_map(|view| view.get(key));
        let best = delivered
            .filter_map(|seen| Some((seen.binding(&self.pod).filter(is_news)?, seen)))
            .max_by_key(|(binding, seen)| (binding.epoch, binding.publishes, seen.generation));
        match best {
            Some((binding, seen)) => {
                self.newest.insert(key.clone(), binding);
                self.held.insert(key.clone(), Held { binding, seen: Arc::clone(seen), lost: None });
            }
            None => {
                if let Some(held) = self.held.get_mut(key).filter(|held| held.lost.is_none()) {
                    self.asked += 1;
                    held.lost = Some(Lost { at: now, question: self.asked });
                    self.questions.push(Question { key: key.clone(), number: self.asked });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Tells what was done as events of the objects. Events are told beside the writes and never hold one up: where too many
//! wait, the newest are dropped and counted.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::{metrics::Metrics, pods::FIELD_MANAGER};

/// Events that may wait.
const WAITING: usize = 8_192;

/// The longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1_024;

/// One event.
pub(super) struct Note {
    pub(super) about: ObjectReference,
    pub(super) related: Option<ObjectReference>,
    pub(super) warns: bool,
    pub(super) action: &'static str,
    pub(super) reason: String,
    pub(super) note: String,
}

/// Where events go.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Note>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts telling them, in the name of this instance of the operator.
    #[must_use]
    pub fn start(
        client: &Client,
        instance: &str,
        metrics: &Arc<Metrics>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let (sender, mut waiting) = mpsc::channel::<Note>(WAITING);
        let reporter = Reporter {
            controller: format!("{}/{FIELD_MANAGER}", crds::GROUP),
            instance: Some(instance.to_owned()).filter(|instance| !instance.is_empty()),
        };
        let recorder = Recorder::new(client.clone(), reporter);
        let counts = metrics.clone();
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Some(note) = waiting.recv().await {
                let Note { about, related, warns, action, reason, note } = note;
                let event = Event {
                    type_: if warns { EventType::Warning } else { EventType::Normal },
                    reason,
                    note: Some(shortened(note)),
                    action: action.to_owned(),
                    secondary: related,
                };
                if let Err(error) = recorder.publish(&event, &about).await {
                    counts.event_dropped("refused");
                    debug!(%error, "an event was not taken");
                }
            }
        }));
        Self { sender, metrics: metrics.clone() }
    }

    pub(super) fn tell(&self, note: Note) {
        if self.sender.try_send(note).is_err() {
            self.metrics.event_dropped("too many");
        }
    }
}

fn shortened(mut note: String) -> String {
    let mut end = LONGEST_NOTE.min(note.len());
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.truncate(end);
    note
}

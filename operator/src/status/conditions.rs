//! Conditions as the Kubernetes API conventions have them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The longest message that the API takes.
const LONGEST_MESSAGE: usize = 1_024;

/// The conditions of one object, as they are to be.
pub(super) struct Conditions<'a> {
    before: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    after: Vec<Condition>,
}

/// What a condition says: whether it holds (nothing: not known), a stable word and a sentence.
pub(super) struct Says<'a> {
    pub(super) holds: Option<bool>,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
    /// Another message is another meaning.
    pub(super) by_message: bool,
}

impl<'a> Says<'a> {
    pub(super) fn yes(reason: &'a str, message: &'a str) -> Self {
        Self { holds: Some(true), reason, message, by_message: false }
    }

    pub(super) fn no(reason: &'a str, message: &'a str) -> Self {
        Self { holds: Some(false), reason, message, by_message: false }
    }

    /// With a message whose every change is told.
    pub(super) fn in_words(self) -> Self {
        Self { by_message: true, ..self }
    }
}

impl<'a> Conditions<'a> {
    pub(super) fn new(before: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { before, generation, now, after: Vec::new() }
    }

    /// A message that changes while its reason does not is no change of meaning, unless it is said to be: the one before
    /// stays.
    pub(super) fn set(&mut self, kind: &str, says: &Says<'_>) {
        let status = match says.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let before = self.before.iter().find(|condition| condition.type_ == kind);
        let reason = word(says.reason);
        let same_status = before.filter(|before| before.status == status);
        let same_meaning =
            same_status.filter(|before| before.reason == reason && before.observed_generation == self.generation);
        self.after.push(Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: same_status
                .map_or_else(|| Time(self.now), |before| before.last_transition_time.clone()),
            message: same_meaning
                .filter(|_| !says.by_message)
                .map_or_else(|| shortened(says.message), |before| before.message.clone()),
            reason,
            observed_generation: self.generation,
        });
    }

    pub(super) fn done(self) -> Vec<Condition> {
        self.after
    }
}

/// A reason as the API takes it: a word that begins with a letter.
pub(super) fn word(reason: &str) -> String {
    let word: String = reason.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) { word } else { "Unknown".to_owned() }
}

pub(super) fn shortened(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}

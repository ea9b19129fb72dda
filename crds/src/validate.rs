//! What a schema cannot say, for those who take objects without an API server.

use kube::core::Rule;

use crate::Duration;

/// One rule for the API server; the Rust function beside it says the same.
pub(crate) struct Check {
    /// In CEL.
    pub(crate) rule: &'static str,
    /// What is expected, with the remedy.
    pub(crate) message: &'static str,
}

impl Check {
    /// The same of a field, said by the object that has it. An API server repeats the value that a rule refuses; of an
    /// object it names the field only, which matters where a value may hold a password.
    pub(crate) fn of_field(&self, field: &str) -> Rule {
        self.of_object(field, &format!("!has(self.{field}) || ({})", self.of(&format!("self.{field}"))))
    }

    /// The same of every entry of a list, said by the object that has the list.
    pub(crate) fn of_entries(&self, field: &str) -> Rule {
        self.of_object(field, &format!("!has(self.{field}) || self.{field}.all(entry, {})", self.of("entry")))
    }

    fn of(&self, name: &str) -> String {
        self.rule.replace("self.", &format!("{name}."))
    }

    fn of_object(&self, field: &str, rule: &str) -> Rule {
        Rule::new(rule).message(self.message).field_path(format!(".{field}"))
    }
}

impl From<&Check> for Rule {
    fn from(check: &Check) -> Self {
        Self::new(check.rule).message(check.message)
    }
}

/// The least and the most that a duration may be.
pub(crate) struct Bounds {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Bounds {
    pub(crate) const fn new(least_ms: u64, most_ms: u64) -> Self {
        Self { least: Duration::from_millis(least_ms), most: Duration::from_millis(most_ms) }
    }

    pub(crate) fn message(&self) -> String {
        format!("must be from {} to {}", self.least, self.most)
    }

    pub(crate) fn check(&self, field: &str, duration: Duration, violations: &mut Vec<Violation>) {
        if !(self.least..=self.most).contains(&duration) {
            violations.push(Violation::new(field, self.message()));
        }
    }
}

/// One thing that is wrong with a spec although its schema has nothing against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, from the object's root (`spec.recovery`).
    pub field: String,
    /// What it must be, with the remedy; never holds the field's value.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

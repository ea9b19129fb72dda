//! What is wrong with a submitted object.

/// One thing that is wrong with a submitted object. Never holds a URI or anything of a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}{}", if field.is_empty() { String::new() } else { format!("{field} ") }, remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default())]
pub struct FieldError {
    /// The field, as the sender wrote it (`detection.confidence`, `spec.uri`); empty: the whole object.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it, where the problem does not say it.
    pub remedy: Option<String>,
}

impl FieldError {
    pub(super) fn new(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), remedy: Some(remedy.into()) }
    }

    /// The field as a JSON pointer (RFC 6901).
    #[must_use]
    pub fn pointer(&self) -> String {
        let steps = self.field.split(['.', '[']).filter(|step| !step.is_empty());
        steps.fold(String::new(), |pointer, step| {
            let step = step.trim_end_matches(']').replace('~', "~0").replace('/', "~1");
            pointer + "/" + &step
        })
    }
}

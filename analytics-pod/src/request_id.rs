//! What a request is known by, from its answer to the frames that it led to.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// The longest id that a sender may choose.
const MAX_LENGTH: usize = 128;

/// The correlation id of a request. It holds nothing that could break a log line: 1 to 128 letters, digits and `-_.:`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The sender's own id; `None` where it may not stand in a log.
    #[must_use]
    pub fn given(id: &str) -> Option<Self> {
        let usable = (1..=MAX_LENGTH).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        usable.then(|| Self(id.into()))
    }

    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_that_could_break_a_line_is_not_taken() {
        for id in ["", "two words", "a\nb", "a\"b", "ä", &"x".repeat(MAX_LENGTH + 1)] {
            assert_eq!(RequestId::given(id), None, "{id:?}");
        }
        assert_eq!(RequestId::given("deploy-42:step_3.a").unwrap().as_str(), "deploy-42:step_3.a");
        assert!(RequestId::given(&"x".repeat(MAX_LENGTH)).is_some());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_plain_and_short(id in any::<String>()) {
            if let Some(id) = RequestId::given(&id) {
                prop_assert!(id.as_str().len() <= MAX_LENGTH && id.as_str().is_ascii());
                prop_assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
            }
        }
    }

    #[test]
    fn a_made_id_is_one_that_could_have_been_given() {
        let made = RequestId::random();
        assert_eq!(RequestId::given(made.as_str()), Some(made.clone()));
        assert_ne!(made, RequestId::random());
    }
}

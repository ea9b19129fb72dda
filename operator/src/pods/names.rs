//! Labels, annotations and names of what the operator makes.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Who owns the fields that the operator applies.
pub const FIELD_MANAGER: &str = "vision-operator";

/// On each pod: its model, shortened to what a label takes.
pub const MODEL_LABEL: &str = "vision-operator.dev/model";

/// On each pod: its model in full.
pub const MODEL_ANNOTATION: &str = "vision-operator.dev/model";

/// On each pod that may have streams: the `PodDisruptionBudget` selects it, so that no eviction gets past it.
pub const SERVING_LABEL: &str = "vision-operator.dev/serving";

/// On each pod: identifies what it was made from.
pub const TEMPLATE_HASH_LABEL: &str = "vision-operator.dev/template-hash";

/// On a pod, set by anyone: its streams are to leave it, and then it is replaced.
pub const EVACUATE_ANNOTATION: &str = "vision-operator.dev/evacuate";

/// On a pod, set by the operator: it ends when its streams have moved. `ScaleDown` or `Outdated`.
pub const RETIRE_ANNOTATION: &str = "vision-operator.dev/retire";

/// Hexadecimal digits of a hash that tells names or templates apart.
const HASH_DIGITS: usize = 10;

/// The longest value of a label.
const LONGEST_LABEL: usize = 63;

/// The value of [`MODEL_LABEL`]: the model's name, or its beginning and a hash where it is too long.
#[must_use]
pub fn model_label(model: &str) -> String {
    shortened(model, LONGEST_LABEL)
}

/// The labels that all pods of a model have and no others.
#[must_use]
pub fn selector(model: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/managed-by", FIELD_MANAGER), (MODEL_LABEL, &*model_label(model))]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The name of what stands beside the pods of a model.
#[must_use]
pub fn companion(model: &str) -> String {
    const SUFFIX: &str = "-analytics";
    format!("{}{SUFFIX}", shortened(model, LONGEST_LABEL - SUFFIX.len()))
}

/// The Secret with the certificate that the pods of a model answer the operator with.
#[must_use]
pub fn certificate(model: &str) -> String {
    const SUFFIX: &str = "-analytics-tls";
    format!("{}{SUFFIX}", shortened(model, LONGEST_LABEL - SUFFIX.len()))
}

/// The name that this certificate has, whatever the address of the pod that shows it.
#[must_use]
pub fn status_host(namespace: &str, model: &str) -> String {
    format!("{}.{namespace}.{}", certificate(model), crds::GROUP)
}

/// The beginning of a SHA-256.
pub(super) fn hash(text: &[u8]) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(HASH_DIGITS);
    digits
}

fn shortened(name: &str, most: usize) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let start: String = name.chars().take(most - HASH_DIGITS - 1).collect();
    format!("{}-{}", start.trim_end_matches(['-', '.']), hash(name.as_bytes()))
}

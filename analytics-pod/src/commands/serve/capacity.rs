//! What the pod can take: measured once for each model, and kept over restarts of its container.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crds::report::Rates;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::{
    engine::native::{self, CapacityError},
    model::Model,
};

/// How long is measured.
const TIME: Duration = Duration::from_secs(2);

/// The file in the state folder.
const FILE: &str = "capacity.json";

/// What was measured, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    pod: String,
    digest: String,
    workers: usize,
    rates: Rates,
}

/// Measures, or remembers.
#[derive(Clone, Debug)]
pub(super) struct CapacityMeter {
    pod: String,
    workers: usize,
    file: Option<PathBuf>,
}

impl CapacityMeter {
    /// Of this pod's detector; what was measured is kept in `folder`, where there is one.
    pub(super) fn new(pod: &str, workers: usize, folder: Option<&Path>) -> Self {
        Self { pod: pod.to_owned(), workers, file: folder.map(|folder| folder.join(FILE)) }
    }

    /// What the pod can take with `model` before it has served anything. Blocks, and takes every core.
    ///
    /// # Errors
    /// Where model or decoder do not work.
    pub(super) fn measure(&self, model: &Arc<Model>) -> Result<Rates, CapacityError> {
        let digest = &*model.info().digest;
        if let Some(rates) = self.kept(digest) {
            info!(digest, ?rates, "capacity, as it was measured before the container's restart");
            return Ok(rates);
        }
        let measured = native::measure(model, self.workers, TIME)?;
        let rates = rounded(measured.inferences, measured.decode);
        info!(digest, workers = self.workers, inferences = measured.inferences, decode = ?measured.decode, "capacity measured");
        self.keep(digest, rates);
        Ok(rates)
    }

    /// What the pod can take with `new` in the place of `old`, with which it can take `rates`: by what a picture costs in
    /// both, since the pod is at work.
    ///
    /// # Errors
    /// Where one of them does not run.
    pub(super) fn changed(&self, new: &Arc<Model>, old: &Arc<Model>, rates: Rates) -> Result<Rates, CapacityError> {
        let ratio = native::relative_cost(new, old)?;
        let inferences = rates.milli_inferences_per_second as f64 / 1e3 / ratio.max(f64::EPSILON);
        let changed = rounded(inferences, Duration::from_micros(rates.decode_micros_per_second));
        info!(digest = %new.info().digest, ratio, "capacity measured against the model before");
        self.keep(&new.info().digest, changed);
        Ok(changed)
    }

    fn kept(&self, digest: &str) -> Option<Rates> {
        let kept: Kept = serde_json::from_slice(&fs::read(self.file.as_ref()?).ok()?).ok()?;
        let is_this = kept.pod == self.pod && kept.digest == digest && kept.workers == self.workers;
        is_this.then_some(kept.rates)
    }

    fn keep(&self, digest: &str, rates: Rates) {
        let Some(file) = &self.file else { return };
        let kept = Kept { pod: self.pod.clone(), digest: digest.to_owned(), workers: self.workers, rates };
        let written = serde_json::to_vec(&kept).map_err(io::Error::from).and_then(|text| {
            fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
            fs::write(file, text)
        });
        if let Err(error) = written {
            warn!(file = %file.display(), %error, "the capacity cannot be kept: a restarted container will measure again");
        }
    }
}

/// Rounded down to two digits, so that two measurements of one machine mostly say the same.
fn rounded(inferences: f64, decode: Duration) -> Rates {
    Rates {
        streams: 0,
        milli_inferences_per_second: two_digits((inferences * 1e3) as u64),
        decode_micros_per_second: two_digits(u64::try_from(decode.as_micros()).unwrap_or(u64::MAX)),
    }
}

fn two_digits(number: u64) -> u64 {
    let unit = 10_u64.pow(number.checked_ilog10().unwrap_or_default().saturating_sub(1));
    number / unit * unit
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn two_digits_are_kept_and_none_is_added() {
        let numbers = [0, 7, 42, 99, 100, 109, 119_999, u64::MAX];
        assert_eq!(numbers.map(two_digits), [0, 7, 42, 99, 100, 100, 110_000, 18_000_000_000_000_000_000]);
    }

    #[test]
    fn what_was_measured_is_remembered_for_this_pod_and_model_only() {
        let folder = tempfile::tempdir().unwrap();
        let meter = CapacityMeter::new("people-1", 2, Some(&folder.path().join("state")));
        let rates = rounded(123.4, Duration::from_millis(987));
        assert_eq!((rates.milli_inferences_per_second, rates.decode_micros_per_second), (120_000, 980_000));
        meter.keep("sha256:00", rates);
        assert_eq!(meter.kept("sha256:00"), Some(rates));
        assert_eq!(meter.kept("sha256:11"), None);
        assert_eq!(CapacityMeter { pod: "people-2".to_owned(), ..meter.clone() }.kept("sha256:00"), None);
        assert_eq!(CapacityMeter { workers: 4, ..meter }.kept("sha256:00"), None);
    }
}

//! Non-maximum suppression: of boxes that show the same object, the best one stays.

use std::cmp::Ordering;

use super::Candidate;
use crate::model::Thresholds;

/// Candidates that are compared with one another at the most, best first. Far above what a picture holds, and it bounds
/// the time that a model which fires everywhere can take.
const MAX_COMPARED: usize = 4096;

/// Sorts best first; of equal scores the one earlier in the tensor, so that results do not depend on the sort.
pub(super) fn best_first(candidates: &mut [Candidate]) {
    candidates.sort_by(by_score);
}

fn by_score(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score)
}

/// Leaves the best of overlapping candidates, best first, and of those `thresholds.max_objects` at the most.
pub(super) fn suppress(candidates: &mut Vec<Candidate>, thresholds: &Thresholds) {
    best_first(candidates);
    candidates.truncate(MAX_COMPARED);
    let mut kept = 0;
    for next in 0..candidates.len() {
        if kept == thresholds.max_objects {
            break;
        }
        let candidate = candidates[next];
        let hidden = candidates[..kept].iter().any(|other| {
            (thresholds.class_agnostic || other.class == candidate.class)
                && overlap_exceeds(&other.corners, &candidate.corners, thresholds.iou)
        });
        if !hidden {
            candidates[kept] = candidate;
            kept += 1;
        }
    }
    candidates.truncate(kept);
}

/// Whether intersection over union is above `limit`, without a division.
fn overlap_exceeds(a: &[f32; 4], b: &[f32; 4], limit: f32) -> bool {
    let area = |corners: &[f32; 4]| (corners[2] - corners[0]) * (corners[3] - corners[1]);
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return false;
    }
    let intersection = width * height;
    intersection > limit * (area(a) + area(b) - intersection)
}

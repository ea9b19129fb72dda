//! Which detection is which object.

use trackforge::utils::{assignment::greedy_match, geometry::iou};

use super::Track;
use crate::observation::Detection;

/// Overlap (see [`overlap`]) below which a detection cannot be the object.
const MIN_OVERLAP: f32 = 0.15;

/// Cost of a detection as a class that the object was never seen as, so that a person does not become the bicycle
/// beside him, while a car that is once taken for a truck stays the same object.
const CLASS_COST: f32 = 0.5;

/// Costs above this are no match; every allowed pair costs less.
const MAX_COST: f32 = 2.0;

/// A box of the same class that overlaps an object seen in the same frame by more than this is a second box of it.
const DOUBLE_IOU: f32 = 0.55;

/// Pairs of indices of tracks and detections that belong together, each in one pair at most; `boxes` are those of the
/// detections.
///
/// Objects in sight and out of sight compete at once: an object that comes out from behind another is nearer to its own
/// prediction than to that of the other.
pub(super) fn associate(tracks: &[Track], detections: &[Detection], boxes: &[Option<[f32; 4]>]) -> Vec<(usize, usize)> {
    if detections.is_empty() {
        return Vec::new();
    }
    let costs: Vec<Vec<f32>> = tracks
        .iter()
        .map(|track| {
            detections.iter().zip(boxes).map(|(detection, tlwh)| cost(track, detection, tlwh.as_ref())).collect()
        })
        .collect();
    greedy_match(&costs, MAX_COST).0
}

fn cost(track: &Track, detection: &Detection, tlwh: Option<&[f32; 4]>) -> f32 {
    let overlap = tlwh.map_or(0.0, |tlwh| overlap(&track.predicted, tlwh));
    // Written so that a prediction that is not a number matches nothing.
    if overlap >= MIN_OVERLAP {
        1.0 - overlap + if track.classes.contains(&detection.class) { 0.0 } else { CLASS_COST }
    } else {
        f32::INFINITY
    }
}

/// Intersection over union times that of the vertical extents alone. Height tells people at different distances apart
/// where their boxes overlap (height-modulated IoU of Hybrid-SORT, arXiv 2308.00783).
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let shared = (a[1] + a[3]).min(b[1] + b[3]) - a[1].max(b[1]);
    let whole = (a[1] + a[3]).max(b[1] + b[3]) - a[1].min(b[1]);
    if shared <= 0.0 { 0.0 } else { iou(a, b) * shared / whole }
}

/// Whether a box is a second one of an object that was seen in the same frame.
pub(super) fn is_double(track: &Track, class: u32, tlwh: &[f32; 4]) -> bool {
    track.unseen == 0.0 && track.classes.contains(&class) && iou(&track.predicted, tlwh) > DOUBLE_IOU
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn height_counts_twice() {
        let person = [0.0, 0.0, 10.0, 40.0];
        assert!((overlap(&person, &person) - 1.0).abs() < 1e-6);
        let half_as_high = [0.0, 20.0, 10.0, 20.0];
        assert!((overlap(&person, &half_as_high) - 0.25).abs() < 1e-6);
        assert!(overlap(&person, &[20.0, 0.0, 10.0, 40.0]).abs() < f32::EPSILON);
        assert!(overlap(&person, &[0.0, 50.0, 10.0, 40.0]).abs() < f32::EPSILON);
    }
}

//! From a model's outputs to boxes: thresholds, joining, and back to the picture.

use crate::{
    config::{Class, Cluster, Config},
    placement::Placement,
};

/// A box in pixels of the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Detection {
    pub(crate) class: u32,
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) confidence: f32,
    /// Radians.
    pub(crate) rotation: f32,
}

/// An output with values of 32 bits, for the built-in reader.
#[derive(Clone, Debug)]
pub(crate) struct Plane<'a> {
    pub(crate) name: &'a str,
    /// Without the batch.
    pub(crate) dims: &'a [u32],
    pub(crate) values: &'a [f32],
}

/// What the built-in reader divides distances by.
const NORM: f32 = 35.0;

/// The built-in reader: grids of coverage and boxes, by the names of the outputs (the detectors that DeepStream comes
/// with).
pub(crate) fn read_grids(
    outputs: &[Plane<'_>],
    input: (u32, u32),
    classes: &[Class],
) -> Result<Vec<Detection>, String> {
    let find = |word: &str| outputs.iter().rfind(|output| output.name.contains(word));
    let coverage = find("cov").ok_or("Could not find output coverage layer for parsing objects")?;
    let boxes = find("bbox").ok_or("Could not find output bbox layer for parsing objects")?;
    let [channels, rows, columns] = *coverage.dims else {
        return Err(format!("output {} has not three dimensions", coverage.name));
    };
    let [box_channels, box_rows, box_columns] = *boxes.dims else {
        return Err(format!("output {} has not three dimensions", boxes.name));
    };
    if (box_rows, box_columns) != (rows, columns) || box_channels < 4 * channels {
        return Err(format!("outputs {} and {} are not of one grid", coverage.name, boxes.name));
    }
    let stride = (input.0.div_ceil(box_columns), input.1.div_ceil(box_rows));
    let grid = (rows * columns) as usize;
    let clip = |value: f32, size: u32| value.clamp(0.0, size.saturating_sub(1) as f32);
    let mut detections = Vec::new();
    for (class, settings) in classes.iter().take(channels as usize).enumerate() {
        for cell in 0..grid {
            let confidence = coverage.values[class * grid + cell];
            if confidence < settings.before {
                continue;
            }
            let (column, row) = (cell as u32 % columns, cell as u32 / columns);
            let centre_x = ((column * stride.0) as f32 + 0.5) / NORM;
            let centre_y = ((row * stride.1) as f32 + 0.5) / NORM;
            let value = |corner: usize| boxes.values[(class * 4 + corner) * grid + cell];
            let left = clip((value(0) - centre_x) * -NORM, input.0);
            let top = clip((value(1) - centre_y) * -NORM, input.1);
            let right = clip((value(2) + centre_x) * NORM, input.0);
            let bottom = clip((value(3) + centre_y) * NORM, input.1);
            if right >= left && bottom >= top {
                let (width, height) = (right - left, bottom - top);
                detections.push(Detection { class: class as u32, left, top, width, height, confidence, rotation: 0.0 });
            }
        }
    }
    Ok(detections)
}

fn iou(a: &Detection, b: &Detection) -> f32 {
    let across = (a.left + a.width).min(b.left + b.width) - a.left.max(b.left);
    let down = (a.top + a.height).min(b.top + b.height) - a.top.max(b.top);
    let both = across.max(0.0) * down.max(0.0);
    let all = a.width * a.height + b.width * b.height - both;
    if all == 0.0 { 0.0 } else { both / all }
}

/// Best first; of those that overlap by more than `threshold` only the best.
fn suppress(mut boxes: Vec<Detection>, threshold: f32) -> Vec<Detection> {
    boxes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in boxes {
        if kept.iter().all(|better| iou(&candidate, better) <= threshold) {
            kept.push(candidate);
        }
    }
    kept
}

fn best(mut boxes: Vec<Detection>, count: i32) -> Vec<Detection> {
    if let Ok(count) = usize::try_from(count) {
        boxes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        boxes.truncate(count);
    }
    boxes
}

/// Boxes above their class's threshold, joined as the configuration says.
pub(crate) fn join(found: Vec<Detection>, config: &Config) -> Vec<Detection> {
    let mut by_class = vec![Vec::new(); config.classes.len()];
    for detection in found {
        let class = detection.class as usize;
        if config.classes.get(class).is_some_and(|class| detection.confidence >= class.before) {
            by_class[class].push(detection);
        }
    }
    let joined = by_class.into_iter().zip(&config.classes).map(|(boxes, class)| match config.cluster {
        // What the real element does where it was built without OpenCV.
        Cluster::Group => best(suppress(boxes, 0.5), 20),
        Cluster::Nms => {
            let kept = suppress(boxes, class.nms_iou);
            best(kept.into_iter().filter(|kept| kept.confidence > class.after).collect(), class.top_k)
        }
        Cluster::None | Cluster::Dbscan | Cluster::Hybrid => best(boxes, class.top_k),
    });
    joined.flatten().collect()
}

/// The box in pixels of the frame, or nothing where the configuration filters it out.
pub(crate) fn to_frame(
    detection: &Detection,
    placement: &Placement,
    frame: (usize, usize),
    config: &Config,
) -> Option<Detection> {
    let class = config.classes.get(detection.class as usize)?;
    if config.filter_out.contains(&(detection.class as i32)) {
        return None;
    }
    let back = |value: f32, offset: usize, scale: f64, origin: f32| {
        (((f64::from(value) - offset as f64) / scale) as f32 + origin).max(0.0)
    };
    let mut found = Detection {
        left: back(detection.left, placement.offset_left, placement.scale_x, placement.origin.0),
        top: back(detection.top, placement.offset_top, placement.scale_y, placement.origin.1),
        width: (f64::from(detection.width) / placement.scale_x) as f32,
        height: (f64::from(detection.height) / placement.scale_y) as f32,
        ..*detection
    };
    let too_big = |size: f32, most: f32| most > 0.0 && size > most;
    if found.width < class.min_size.0
        || found.height < class.min_size.1
        || too_big(found.width, class.max_size.0)
        || too_big(found.height, class.max_size.1)
    {
        return None;
    }
    let bottom = frame.1 as f32 - class.roi_bottom;
    if config.crop_to_roi {
        found.top = found.top.max(class.roi_top);
        found.width = found.width.min(frame.0 as f32 - found.left);
        found.height = found.height.min(bottom - found.top);
    } else if found.top < class.roi_top || found.top + found.height > bottom {
        // A box that reaches over the lower edge is dropped, not cut.
        return None;
    }
    Some(found)
}

/// The part of a box that lies in an area: left, top, width, height.
pub(crate) fn clip(found: Detection, area: [f32; 4]) -> Detection {
    let [left, top, width, height] = area;
    let (new_left, new_top) = (found.left.max(left), found.top.max(top));
    Detection {
        left: new_left,
        top: new_top,
        width: ((found.left + found.width).min(left + width) - new_left).max(0.0),
        height: ((found.top + found.height).min(top + height) - new_top).max(0.0),
        ..found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::placement::place;

    fn config(text: &str) -> Config {
        let text = format!("[property]\nnum-detected-classes=2\n{text}");
        crate::config::parse(&text, Path::new("/"), deepstream_standin::Version::new(7, 1, 0)).unwrap().config
    }

    fn detection(class: u32, left: f32, confidence: f32) -> Detection {
        Detection { class, left, top: 0.0, width: 10.0, height: 10.0, confidence, rotation: 0.0 }
    }

    #[test]
    fn boxes_come_back_to_the_frame_and_those_over_its_lower_edge_are_dropped() {
        let config = config("");
        let placement = place((1280, 720), (640, 360), (false, false));
        let found = Detection { top: 20.0, ..detection(0, -3.0, 0.9) };
        let back = to_frame(&found, &placement, (1280, 720), &config).unwrap();
        assert_eq!((back.left, back.top, back.width, back.height), (0.0, 40.0, 20.0, 20.0));
        let low = Detection { top: 355.0, ..found };
        assert_eq!(to_frame(&low, &placement, (1280, 720), &config), None);
        let cropped = to_frame(&low, &placement, (1280, 720), &Config { crop_to_roi: true, ..config }).unwrap();
        assert_eq!(cropped.height, 10.0);
    }

    #[test]
    fn boxes_are_joined_by_class() {
        let found =
            vec![detection(0, 0.0, 0.5), detection(0, 1.0, 0.9), detection(1, 0.0, 0.6), detection(2, 0.0, 0.9)];
        let joined = join(found.clone(), &config("cluster-mode=2\n"));
        assert_eq!(joined, [detection(0, 1.0, 0.9), detection(1, 0.0, 0.6)]);
        assert_eq!(join(found, &config("cluster-mode=4\n")).len(), 3);
    }

    #[test]
    fn the_built_in_reader_needs_outputs_of_known_names() {
        let error = read_grids(&[], (640, 480), &[Class::default()]).unwrap_err();
        assert!(error.contains("coverage layer"), "{error}");
        let coverage = Plane { name: "conv2d_cov/Sigmoid", dims: &[1, 1, 2], values: &[0.9, 0.0] };
        let boxes = Plane { name: "conv2d_bbox", dims: &[4, 1, 2], values: &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0] };
        let found = read_grids(&[coverage, boxes], (64, 32), &[Class::default()]).unwrap();
        let [found] = found[..] else { panic!("{found:?}") };
        assert_eq!((found.left, found.top), (0.0, 0.0));
        assert!((found.width - 35.5).abs() < 0.01, "{found:?}");
    }
}

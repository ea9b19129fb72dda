//! Which layout the outputs have.

use super::{Resolver, describe_shape, list};
use crate::model::{
    Layout,
    error::ModelError,
    onnx::{TensorInfo, TensorType},
};

/// Rows of an output that is suppressed by the model itself: exporters keep 100 or 300 objects.
const MAX_END_TO_END_ROWS: usize = 1000;

impl Resolver<'_> {
    /// The layout, and the outputs that it reads, in the decoder's order.
    pub(super) fn layout(
        &self,
        width: u32,
        height: u32,
        names: Option<usize>,
    ) -> Result<(Layout, Vec<usize>), ModelError> {
        let outputs = &self.header.outputs;
        if let Some(odd) = outputs.iter().find(|output| !is_float(output)) {
            return Err(self.unclear(format!("its output `{odd}` is neither f32 nor f16; {EXPORT_PLAIN}")));
        }
        match self.spec.layout {
            Some(layout @ (Layout::Ssd | Layout::Queries)) => {
                let order = pair(outputs).ok_or_else(|| {
                    self.refused(
                        "spec.layout",
                        format!("{layout} needs two outputs, 1×N×4 and 1×N×C; the file has {}", list(outputs)),
                    )
                })?;
                Ok((layout, order))
            }
            Some(layout) if outputs.len() == 1 => Ok((layout, vec![0])),
            Some(layout) => {
                Err(self.refused("spec.layout", format!("{layout} needs one output; the file has {}", list(outputs))))
            }
            None => match &outputs[..] {
                [output] => Ok((self.single(output, width, height, names)?, vec![0])),
                [_, _] => self.double(outputs),
                _ => Err(self.unknown()),
            },
        }
    }

    fn single(&self, output: &TensorInfo, width: u32, height: u32, names: Option<usize>) -> Result<Layout, ModelError> {
        let cells = cells(width, height);
        match output.shape[..] {
            [_, Some(channels), Some(lines), Some(columns)] if channels > 5 && lines > 1 && columns > 1 => {
                Ok(Layout::FastestDet)
            }
            [_, rows, Some(6)] if rows.map_or(names != Some(1), |rows| is_end_to_end(rows, &cells)) => {
                Ok(Layout::YoloEndToEnd)
            }
            [_, Some(channels), anchors] if channels > 4 && anchors.is_none_or(|anchors| anchors > channels) => {
                Ok(Layout::YoloV8)
            }
            [_, rows, Some(columns)] if columns > 5 => self.rows(output, rows, &cells),
            _ => Err(self.unknown()),
        }
    }

    /// `N×(5+C)`: three layouts look like this.
    fn rows(&self, output: &TensorInfo, rows: Option<usize>, cells: &[usize; 2]) -> Result<Layout, ModelError> {
        if self.header.undecoded.contains(&output.name) {
            return Ok(Layout::YoloXRaw);
        }
        // YOLOv5 and v7 have three anchors a cell; YOLOX has one.
        let anchored = rows.is_some_and(|rows| cells.iter().any(|cells| rows == 3 * cells));
        // Only Ultralytics' exporters write these, and theirs is no YOLOX.
        let by_ultralytics = self.header.metadata.contains_key("names") && self.header.metadata.contains_key("stride");
        if anchored || by_ultralytics {
            return Ok(Layout::YoloV5);
        }
        Err(self.unclear(format!(
            "its output `{}` {} is read alike as {} (RGB 0–1, picture in the centre) and as {} (BGR 0–255, picture top \
             left); set spec.layout to the one it was exported as",
            output.name,
            describe_shape(&output.shape),
            Layout::YoloV5,
            Layout::YoloXDecoded,
        )))
    }

    fn double(&self, outputs: &[TensorInfo]) -> Result<(Layout, Vec<usize>), ModelError> {
        let order = pair(outputs).ok_or_else(|| self.unknown())?;
        let scores = outputs[order[1]].name.to_ascii_lowercase();
        if scores.contains("logit") {
            Ok((Layout::Queries, order))
        } else if ["score", "conf", "prob"].iter().any(|word| scores.contains(word)) {
            Ok((Layout::Ssd, order))
        } else {
            Err(self.unclear(format!(
                "its outputs ({}) are read alike as {} (corners and probabilities) and as {} (centres and logits); \
                 set spec.layout to one of them",
                list(outputs),
                Layout::Ssd,
                Layout::Queries,
            )))
        }
    }

    fn unknown(&self) -> ModelError {
        let layouts: Vec<&str> = Layout::ALL.iter().map(|layout| layout.as_str()).collect();
        self.unclear(format!(
            "its outputs ({}) look like none of the known layouts; set spec.layout to one of {}, or {EXPORT_PLAIN}",
            list(&self.header.outputs),
            layouts.join(", "),
        ))
    }
}

const EXPORT_PLAIN: &str = "export the detector without further post-processing";

fn is_float(output: &TensorInfo) -> bool {
    matches!(output.element_type, TensorType::F32 | TensorType::F16)
}

/// Cells of the grids of strides 8, 16 and 32, and of those with 64.
fn cells(width: u32, height: u32) -> [usize; 2] {
    let cells = |strides: &[u32]| {
        strides.iter().map(|stride| (width / stride) as usize * (height / stride) as usize).sum::<usize>()
    };
    [cells(&[8, 16, 32]), cells(&[8, 16, 32, 64])]
}

/// One class makes six columns of YOLOv5 and YOLOX too, but as many rows as their grids have cells or anchors.
fn is_end_to_end(rows: usize, cells: &[usize; 2]) -> bool {
    rows <= MAX_END_TO_END_ROWS && cells.iter().all(|cells| rows != *cells && rows != 3 * cells)
}

/// Which of two outputs holds boxes and which scores, in this order.
fn pair(outputs: &[TensorInfo]) -> Option<Vec<usize>> {
    let is_boxes = |output: &TensorInfo| matches!(output.shape[..], [_, _, Some(4)] | [_, _, Some(1), Some(4)]);
    let is_named_boxes = |output: &TensorInfo| output.name.to_ascii_lowercase().contains("box");
    let [first, second] = outputs else { return None };
    match (is_boxes(first), is_boxes(second)) {
        (true, false) if second.shape.len() == 3 => Some(vec![0, 1]),
        (false, true) if first.shape.len() == 3 => Some(vec![1, 0]),
        // Four classes: only the names tell.
        (true, true) => match (is_named_boxes(first), is_named_boxes(second)) {
            (true, false) => Some(vec![0, 1]),
            (false, true) => Some(vec![1, 0]),
            _ => None,
        },
        _ => None,
    }
}

//! Which layout the outputs have.

use super::{Resolver, describe_shape, list};
use crate::model::{
    Layout,
    error::ModelError,
    onnx::{TensorInfo, TensorType},
};

/// Rows of an output that holds objects: exporters keep 100, 300 or 900.
const MAX_OBJECT_ROWS: usize = 1000;

impl Resolver<'_> {
    /// The layout, and the outputs that it reads, in the decoder's order.
    pub(super) fn layout(
        &self,
        width: u32,
        height: u32,
        names: Option<usize>,
    ) -> Result<(Layout, Vec<usize>), ModelError> {
        let outputs = &self.header.outputs;
        let (layout, order) = match (self.spec.layout, &outputs[..]) {
            (Some(Layout::Ssd), _) => (Layout::Ssd, self.needs(Layout::Ssd, pair(outputs), "1×N×4 and 1×N×C")?),
            (Some(Layout::Queries), [_]) => (Layout::Queries, vec![0]),
            (Some(Layout::Queries), _) => {
                let order = pair(outputs).or_else(|| triple(outputs));
                (Layout::Queries, self.needs(Layout::Queries, order, "1×Q×4 and 1×Q×C, or labels, boxes and scores")?)
            }
            (Some(layout), _) => {
                (layout, self.needs(layout, (outputs.len() == 1).then(|| vec![0]), "a single output")?)
            }
            (None, [output]) => (self.single(output, width, height, names)?, vec![0]),
            (None, [_, _]) => self.double(outputs)?,
            (None, _) => (Layout::Queries, triple(outputs).ok_or_else(|| self.unknown())?),
        };
        // Class indices, the third of three, may be integers.
        if let Some(odd) = order.iter().take(2).map(|index| &outputs[*index]).find(|output| !is_float(output)) {
            return Err(self.unclear(format!("its output `{odd}` is neither f32 nor f16; {EXPORT_PLAIN}")));
        }
        Ok((layout, order))
    }

    fn needs(&self, layout: Layout, order: Option<Vec<usize>>, outputs: &str) -> Result<Vec<usize>, ModelError> {
        order.ok_or_else(|| {
            let found = list(&self.header.outputs);
            self.refused("spec.layout", format!("{layout} needs {outputs}; the file has {found}"))
        })
    }

    fn single(&self, output: &TensorInfo, width: u32, height: u32, names: Option<usize>) -> Result<Layout, ModelError> {
        let cells = cells(width, height);
        // Two classes make six columns of queries too; Ultralytics writes the network's name into the file.
        let description = self.header.metadata.get("description").map(|text| text.to_lowercase().replace('-', ""));
        if output.shape.len() == 3 && description.is_some_and(|text| text.contains("rtdetr")) {
            return Ok(Layout::Queries);
        }
        match output.shape[..] {
            [_, Some(channels), Some(lines), Some(columns)] if channels > 5 && lines > 1 && columns > 1 => {
                Ok(Layout::FastestDet)
            }
            [_, rows, Some(6)] if rows.map_or(names != Some(1), |rows| is_few(rows, &cells)) => {
                Ok(Layout::YoloEndToEnd)
            }
            [_, Some(channels), anchors]
                if channels > 4 && anchors.is_none_or(|anchors| anchors > channels && !is_few(anchors, &cells)) =>
            {
                Ok(Layout::YoloV8)
            }
            [_, Some(rows), Some(columns)] if columns > 4 && is_few(rows, &cells) => Ok(Layout::Queries),
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

/// Whether `rows` are so few that they are objects, not the cells or anchors of a grid.
fn is_few(rows: usize, cells: &[usize; 2]) -> bool {
    rows <= MAX_OBJECT_ROWS && cells.iter().all(|cells| rows != *cells && rows != 3 * cells)
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

/// Boxes, scores and class indices among three outputs, in this order (the official exports of RT-DETR and D-FINE).
fn triple(outputs: &[TensorInfo]) -> Option<Vec<usize>> {
    let position = |fits: &dyn Fn(&TensorInfo) -> bool| outputs.iter().position(fits);
    let boxes = position(&|output| matches!(output.shape[..], [_, _, Some(4)]))?;
    let labels = position(&|output| {
        output.shape.len() == 2 && matches!(output.element_type, TensorType::I64 | TensorType::I32)
    })?;
    let scores = position(&|output| output.shape.len() == 2 && is_float(output))?;
    (outputs.len() == 3).then(|| vec![boxes, scores, labels])
}

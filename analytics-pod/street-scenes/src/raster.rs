//! Fills convex polygons with smooth edges, into planes, masks or identity buffers.

/// What a polygon is filled into.
pub(crate) trait Target {
    /// Sub-scanlines that a pixel row is sampled at; coverage along a row is exact.
    const LINES: usize;
    /// Width and height in pixels.
    fn size(&self) -> (usize, usize);
    /// Fills pixels `first..end` of a row.
    fn span(&mut self, row: usize, first: usize, end: usize);
    /// Fills a share (0–1) of one pixel.
    fn blend(&mut self, row: usize, column: usize, coverage: f32);
}

/// Fills polygons; keeps its buffers between calls.
#[derive(Default)]
pub(crate) struct Filler {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Filler {
    /// Fills the convex polygon `points`, moved by `-origin` and then scaled by `scale`, in either winding order.
    pub(crate) fn fill<T: Target>(&mut self, points: &[[f32; 2]], origin: [f32; 2], scale: f32, target: &mut T) {
        let size = target.size();
        let Some(first_row) = self.trace(points, origin, scale, size, T::LINES) else { return };
        let rows = self.left.chunks_exact(T::LINES).zip(self.right.chunks_exact(T::LINES));
        for (index, (left, right)) in rows.enumerate() {
            fill_row(first_row + index, size.0, left, right, target);
        }
    }

    /// Finds where each sub-scanline enters and leaves the polygon; `None` when it is outside the target.
    fn trace(
        &mut self,
        points: &[[f32; 2]],
        origin: [f32; 2],
        scale: f32,
        size: (usize, usize),
        per_row: usize,
    ) -> Option<usize> {
        let place = |point: [f32; 2]| [(point[0] - origin[0]) * scale, (point[1] - origin[1]) * scale];
        let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for &point in points {
            let [x, y] = place(point);
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        }
        let first_row = floor(low[1]);
        let end_row = ceil(high[1]).min(size.1);
        if first_row >= end_row || high[0] <= 0.0 || low[0] >= size.0 as f32 {
            return None;
        }
        let lines = (end_row - first_row) * per_row;
        self.left.clear();
        self.left.resize(lines, f32::INFINITY);
        self.right.clear();
        self.right.resize(lines, f32::NEG_INFINITY);

        let line_offset = (first_row * per_row) as f32 + 0.5;
        let mut from = place(*points.last()?);
        for &point in points {
            let to = place(point);
            let (upper, lower) = if from[1] <= to[1] { (from, to) } else { (to, from) };
            let first = ceil(upper[1] * per_row as f32 - line_offset);
            let end = ceil(lower[1] * per_row as f32 - line_offset).min(lines);
            if first < end {
                let slope = (lower[0] - upper[0]) / (lower[1] - upper[1]);
                let step = slope / per_row as f32;
                let mut x = upper[0] + slope * ((first as f32 + line_offset) / per_row as f32 - upper[1]);
                for (left, right) in self.left[first..end].iter_mut().zip(&mut self.right[first..end]) {
                    *left = left.min(x);
                    *right = right.max(x);
                    x += step;
                }
            }
            from = to;
        }
        Some(first_row)
    }
}

/// Far beyond any picture, yet exact as an integer.
const LIMIT: f32 = 1e7;

/// Rounds down to an index; below zero becomes zero. (`f32::floor` is a call on processors before SSE 4.1.)
fn floor(value: f32) -> usize {
    value.clamp(0.0, LIMIT) as i32 as usize
}

/// Rounds up to an index; below zero becomes zero.
fn ceil(value: f32) -> usize {
    let value = value.clamp(0.0, LIMIT);
    let whole = value as i32;
    whole as usize + usize::from((whole as f32) < value)
}

fn fill_row<T: Target>(row: usize, width: usize, left: &[f32], right: &[f32], target: &mut T) {
    let least = |values: &[f32]| values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (leftmost, rightmost) = (least(left), most(right));
    if leftmost >= rightmost {
        return;
    }
    let (start, end) = (floor(leftmost).min(width), ceil(rightmost).min(width));
    // A line that the polygon misses has an infinite left edge, so that nothing of the row counts as full.
    let full_start = ceil(most(left)).clamp(start, end);
    let full_end = floor(least(right)).clamp(full_start, end);
    let coverage = |column: usize| {
        let (near, far) = (column as f32, column as f32 + 1.0);
        let sum: f32 = left.iter().zip(right).map(|(&l, &r)| (r.min(far) - l.max(near)).max(0.0)).sum();
        sum / T::LINES as f32
    };
    for column in start..full_start {
        target.blend(row, column, coverage(column));
    }
    if full_start < full_end {
        target.span(row, full_start, full_end);
    }
    for column in full_end..end {
        target.blend(row, column, coverage(column));
    }
}

/// `from` moved towards `to` by `share` (0–1).
pub(crate) fn mix(from: u8, to: u8, share: f32) -> u8 {
    (f32::from(from) + (f32::from(to) - f32::from(from)) * share + 0.5) as i32 as u8
}

/// A luma plane that takes one colour.
pub(crate) struct Luma<'a> {
    pub(crate) plane: &'a mut [u8],
    pub(crate) size: (usize, usize),
    pub(crate) value: u8,
}

impl Target for Luma<'_> {
    const LINES: usize = 4;

    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn span(&mut self, row: usize, first: usize, end: usize) {
        let start = row * self.size.0;
        self.plane[start + first..start + end].fill(self.value);
    }

    fn blend(&mut self, row: usize, column: usize, coverage: f32) {
        let pixel = &mut self.plane[row * self.size.0 + column];
        *pixel = mix(*pixel, self.value, coverage);
    }
}

/// Both chroma planes taking one colour.
pub(crate) struct Chroma<'a> {
    pub(crate) planes: [&'a mut [u8]; 2],
    pub(crate) size: (usize, usize),
    pub(crate) values: [u8; 2],
}

impl Target for Chroma<'_> {
    const LINES: usize = 2;

    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn span(&mut self, row: usize, first: usize, end: usize) {
        let start = row * self.size.0;
        for (plane, value) in self.planes.iter_mut().zip(self.values) {
            plane[start + first..start + end].fill(value);
        }
    }

    fn blend(&mut self, row: usize, column: usize, coverage: f32) {
        for (plane, value) in self.planes.iter_mut().zip(self.values) {
            let pixel = &mut plane[row * self.size.0 + column];
            *pixel = mix(*pixel, value, coverage);
        }
    }
}

/// Coverage (0–255) of the union of what is filled.
pub(crate) struct Mask<'a> {
    pub(crate) plane: &'a mut [u8],
    pub(crate) size: (usize, usize),
}

impl Target for Mask<'_> {
    const LINES: usize = 4;

    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn span(&mut self, row: usize, first: usize, end: usize) {
        let start = row * self.size.0;
        self.plane[start + first..start + end].fill(255);
    }

    fn blend(&mut self, row: usize, column: usize, coverage: f32) {
        let pixel = &mut self.plane[row * self.size.0 + column];
        // Seams between adjoining polygons must not show, so shares add up.
        *pixel = pixel.saturating_add((coverage * 255.0 + 0.5) as u8);
    }
}

/// Which object each pixel shows.
pub(crate) struct Owners<'a> {
    pub(crate) plane: &'a mut [u16],
    pub(crate) size: (usize, usize),
    pub(crate) owner: u16,
}

/// Share of a pixel from which it counts as showing an object; below half so that thin bars of a bicycle count.
const OWNED: f32 = 0.25;

impl Target for Owners<'_> {
    const LINES: usize = 2;

    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn span(&mut self, row: usize, first: usize, end: usize) {
        let start = row * self.size.0;
        self.plane[start + first..start + end].fill(self.owner);
    }

    fn blend(&mut self, row: usize, column: usize, coverage: f32) {
        if coverage >= OWNED {
            self.plane[row * self.size.0 + column] = self.owner;
        }
    }
}

/// The convex hull of `points` (Andrew's monotone chain), written over `hull`.
pub(crate) fn convex_hull(points: &mut [[f32; 2]], hull: &mut Vec<[f32; 2]>) {
    hull.clear();
    points.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let turns_left =
        |a: [f32; 2], b: [f32; 2], c: [f32; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0.0;
    let extend = |hull: &mut Vec<[f32; 2]>, floor: usize, point: [f32; 2]| {
        while hull.len() >= floor + 2 && !turns_left(hull[hull.len() - 2], hull[hull.len() - 1], point) {
            hull.pop();
        }
        hull.push(point);
    };
    for &point in points.iter() {
        extend(hull, 0, point);
    }
    let floor = hull.len().saturating_sub(1);
    for &point in points.iter().rev().skip(1) {
        extend(hull, floor, point);
    }
    hull.pop();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn area_of(points: &[[f32; 2]], size: (usize, usize)) -> f32 {
        let mut plane = vec![0; size.0 * size.1];
        Filler::default().fill(points, [0.0; 2], 1.0, &mut Mask { plane: &mut plane, size });
        plane.iter().map(|&value| f32::from(value) / 255.0).sum()
    }

    #[test]
    fn covers_the_area_of_a_rectangle() {
        let area = area_of(&[[2.5, 1.25], [7.25, 1.25], [7.25, 6.5], [2.5, 6.5]], (10, 10));
        assert!((area - 4.75 * 5.25).abs() < 0.2, "{area}");
    }

    #[test]
    fn is_clipped_to_the_target() {
        let area = area_of(&[[-50.0, -50.0], [50.0, -50.0], [50.0, 50.0], [-50.0, 50.0]], (6, 4));
        assert!((area - 24.0).abs() < 0.01, "{area}");
    }

    proptest! {
        #[test]
        fn hull_is_filled_to_its_area(raw in proptest::collection::vec((1.0_f32..31.0, 1.0_f32..31.0), 3..12)) {
            let mut points: Vec<[f32; 2]> = raw.into_iter().map(|(x, y)| [x, y]).collect();
            let mut hull = Vec::new();
            convex_hull(&mut points, &mut hull);
            let mut twice = 0.0;
            for (index, a) in hull.iter().enumerate() {
                let b = hull[(index + 1) % hull.len()];
                twice += a[0] * b[1] - b[0] * a[1];
            }
            let area = twice.abs() / 2.0;
            prop_assert!((area_of(&hull, (32, 32)) - area).abs() < 1.0 + area * 0.05);
        }

        #[test]
        fn any_finite_polygon_is_safe(raw in proptest::collection::vec((-1e6_f32..1e6, -1e6_f32..1e6), 0..8)) {
            let points: Vec<[f32; 2]> = raw.into_iter().map(|(x, y)| [x, y]).collect();
            area_of(&points, (16, 16));
        }
    }
}

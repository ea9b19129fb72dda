//! Where a picture goes in a model's input, for nvinfer and nvdspreprocess alike.

/// How a picture was placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    pub(crate) scale_x: f64,
    pub(crate) scale_y: f64,
    pub(crate) offset_left: usize,
    pub(crate) offset_top: usize,
    /// Of what is filled.
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Where the picture begins in its frame, left and top.
    pub(crate) origin: (f32, f32),
}

/// Where a picture goes in the model's input: stretched, or with its shape kept at the top left, or in the middle.
/// `fit` says whether the shape is kept and whether it is centred. As the real elements, sizes are cut off, not rounded.
pub(crate) fn place(picture: (usize, usize), input: (usize, usize), fit: (bool, bool)) -> Placement {
    // The real elements take an even part of the picture.
    let (picture_width, picture_height) = ((picture.0 & !1).max(1), (picture.1 & !1).max(1));
    let (width, height) = if fit.0 {
        let fitting_height = (input.0 * picture_height) as f64 / picture_width as f64;
        let fitting_width = (input.1 * picture_width) as f64 / picture_height as f64;
        if fitting_height <= input.1 as f64 {
            (input.0, fitting_height as usize)
        } else {
            (fitting_width as usize, input.1)
        }
    } else {
        input
    };
    let offset = |input: usize, used: usize| if fit.0 && fit.1 { (input - used) / 2 } else { 0 };
    Placement {
        scale_x: width as f64 / picture_width as f64,
        scale_y: height as f64 / picture_height as f64,
        offset_left: offset(input.0, width),
        offset_top: offset(input.1, height),
        width,
        height,
        origin: (0.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_placed_as_the_real_element_places_it() {
        let place = |fit| place((1280, 720), (416, 256), fit);
        let stretched = place((false, true));
        assert_eq!((stretched.width, stretched.height, stretched.offset_top), (416, 256, 0));
        let corner = place((true, false));
        assert_eq!((corner.width, corner.height, corner.offset_left, corner.offset_top), (416, 234, 0, 0));
        let centred = place((true, true));
        assert_eq!((centred.height, centred.offset_left, centred.offset_top), (234, 0, 11));
    }
}

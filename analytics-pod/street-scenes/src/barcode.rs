//! A frame's number as a barcode in the picture, sturdy enough to survive lossy encoding.

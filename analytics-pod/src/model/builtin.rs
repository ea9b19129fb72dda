//! Models that are part of the program.

/// The built-in models by name. Their files are compiled in, so that a first run needs neither a network nor a file.
const MODELS: &[(&str, &[u8])] = &[("starter", include_bytes!("../../../models/starter/starter.onnx"))];

/// The names of the models that are part of the program.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// The file of the model called `name`.
pub(super) fn find(name: &str) -> Option<&'static [u8]> {
    MODELS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

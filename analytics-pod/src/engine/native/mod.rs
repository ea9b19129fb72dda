//! The engine on this machine's own processors: GStreamer decodes, ONNX Runtime detects.

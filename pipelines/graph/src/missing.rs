//! Which elements are not installed: found at start, not at the first meeting.

/// Those of `wanted` (element, Debian package that has it) that GStreamer's registry does not know.
/// If GStreamer itself does not start, all of them are missing.
#[must_use]
pub fn missing(wanted: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let known = |element: &str| crate::init().is_ok() && gstreamer::ElementFactory::find(element).is_some();
    wanted.iter().copied().filter(|(element, _)| !known(element)).collect()
}

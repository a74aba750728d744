//! Whether the GStreamer elements that are needed are there, and that no others are.

use std::sync::OnceLock;

use crate::Error;

/// Linked into this program; everything else stands in [`graph::ALLOWED`].
const LINKED_IN: &str = "cmafmux";

/// Looks whether every GStreamer element that this crate and `meeting` need is installed.
///
/// # Errors
/// [`Error::Missing`] names those that are not, and their Debian packages.
pub fn check() -> Result<(), Error> {
    let allowed: Vec<_> = graph::allowed().collect();
    let missing = graph::missing(&allowed);
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
}

/// Leaves this process no GStreamer element but those that a recording is made of. For the process that decodes what
/// strangers send; for good. Returns how many are left.
///
/// # Errors
/// When GStreamer does not start, or does not take the muxer.
pub fn keep_only_needed() -> Result<usize, Error> {
    graph::init()?;
    register()?;
    Ok(graph::keep_only(&[LINKED_IN])?)
}

/// Makes `cmafmux` known to GStreamer, once in a process.
pub(crate) fn register() -> Result<(), gstreamer::glib::BoolError> {
    static DONE: OnceLock<Result<(), gstreamer::glib::BoolError>> = OnceLock::new();
    DONE.get_or_init(gstfmp4::plugin_register_static).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_the_tests_run() {
        check().unwrap();
    }

    #[test]
    fn the_muxer_comes_with_the_program() {
        graph::init().unwrap();
        register().unwrap();
        register().unwrap();
        assert!(gstreamer::ElementFactory::find(LINKED_IN).is_some());
    }
}

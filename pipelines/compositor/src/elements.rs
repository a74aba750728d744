//! Which GStreamer elements are needed, and the packages that have them.

use std::sync::OnceLock;

use crate::Error;

/// Element and Debian package (12 and 13). `cmafmux` is not here: it is linked into this program.
const NEEDED: &[(&str, &str)] = &[
    // this crate
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("audiomixer", "gstreamer1.0-plugins-base"),
    ("audiotestsrc", "gstreamer1.0-plugins-base"),
    ("avdec_h264", "gstreamer1.0-libav"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("compositor", "gstreamer1.0-plugins-base"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("opusdec", "gstreamer1.0-plugins-base"),
    ("textoverlay", "gstreamer1.0-x"),
    ("videoconvertscale", "gstreamer1.0-plugins-base"),
    ("videotestsrc", "gstreamer1.0-plugins-base"),
    ("vp8dec", "gstreamer1.0-plugins-good"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    // `meeting`
    ("dtlssrtpdec", "gstreamer1.0-plugins-bad"),
    ("dtlssrtpenc", "gstreamer1.0-plugins-bad"),
    ("nicesink", "gstreamer1.0-nice"),
    ("nicesrc", "gstreamer1.0-nice"),
    ("rtpbin", "gstreamer1.0-plugins-good"),
    ("rtph264depay", "gstreamer1.0-plugins-good"),
    ("rtpopusdepay", "gstreamer1.0-plugins-good"),
    ("rtprtxreceive", "gstreamer1.0-plugins-good"),
    ("rtpvp8depay", "gstreamer1.0-plugins-good"),
    ("sctpdec", "gstreamer1.0-plugins-bad"),
    ("srtpdec", "gstreamer1.0-plugins-bad"),
    ("webrtcbin", "gstreamer1.0-plugins-bad"),
];

/// Looks whether every GStreamer element that this crate and `meeting` need is installed.
///
/// # Errors
/// [`Error::Missing`] names those that are not, and their Debian packages.
pub fn check() -> Result<(), Error> {
    let missing = graph::missing(NEEDED);
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
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
        assert!(gstreamer::ElementFactory::find("cmafmux").is_some());
    }
}

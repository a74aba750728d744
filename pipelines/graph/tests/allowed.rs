//! In a process of its own, since what GStreamer has forgotten stays forgotten.

use gstreamer::prelude::*;
use gstreamer::{ElementFactory, Registry};

/// What would open files, the network, or a stream of any kind.
const NEVER: [&str; 14] = [
    "filesrc",
    "filesink",
    "fdsrc",
    "souphttpsrc",
    "tcpclientsrc",
    "udpsrc",
    "decodebin",
    "decodebin3",
    "uridecodebin",
    "playbin",
    "qtdemux",
    "matroskademux",
    "typefind",
    "tee",
];

#[test]
fn nothing_is_left_but_what_is_allowed() {
    graph::init().unwrap();
    let known = NEVER.iter().filter(|name| ElementFactory::find(name).is_some()).count();
    assert_eq!(known, NEVER.len(), "the test means what is installed");
    let before = Registry::get().features(ElementFactory::static_type()).len();

    let left = graph::keep_only(&[]).unwrap();

    let mut names: Vec<_> =
        Registry::get().features(ElementFactory::static_type()).iter().map(|f| f.name().to_string()).collect();
    let mut allowed: Vec<_> = graph::allowed().map(|(name, _)| name.to_owned()).collect();
    names.sort();
    allowed.sort();
    assert_eq!(names, allowed);
    assert_eq!(left, allowed.len());
    assert!(before > 2 * left, "there were {before} elements to choose from");

    for name in NEVER {
        assert!(ElementFactory::make(name).build().is_err(), "{name} can be made");
    }
    // Loading again is what would bring them back.
    for plugin in ["coreelements", "playback", "isomp4", "soup"] {
        let _ = gstreamer::Plugin::load_by_name(plugin);
    }
    for name in NEVER {
        assert!(ElementFactory::find(name).is_none(), "{name} is back");
    }
    for (name, _) in graph::allowed() {
        assert!(ElementFactory::make(name).build().is_ok(), "{name} cannot be made");
    }
    assert!(Registry::get().features(gstreamer::TypeFindFactory::static_type()).is_empty(), "types can be guessed");
}

#[test]
fn no_element_is_listed_twice_and_every_group_says_why() {
    let mut seen = std::collections::BTreeSet::new();
    assert!(graph::allowed().all(|(name, package)| seen.insert(name) && !package.is_empty()));
    assert!(graph::ALLOWED.iter().all(|group| !group.why.is_empty() && !group.elements.is_empty()));
}

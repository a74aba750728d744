//! The layers of the workspace: a crate depends on a lower layer only, never on its own (DESIGN §2).

use cargo_metadata::{DependencyKind, MetadataCommand};

/// From the bottom up. `chassis` serves services alone, so it stands beside them.
#[rustfmt::skip]
const LAYERS: &[(&str, u8)] = &[
    ("events", 0),
    ("media", 1),
    ("layout", 2), ("hls", 2), ("claim", 2), ("timeline", 2),
    ("session", 3),
    ("simulator", 4),
    ("graph", 4), ("storage", 4), ("broker", 4),
    ("meeting", 5), ("compositor", 5), ("transcript", 5),
    ("chassis", 6),
    ("bridge", 7), ("recorder", 7), ("finalizer", 7), ("transcriber", 7), ("origin", 7), ("portal", 7),
    ("lectern", 8),
    ("e2e", 9),
];

/// What the pure layers may use from outside: values and text, nothing with a clock, a socket or a runtime.
const IMPURE: &[&str] = &["tokio", "tokio-util", "futures-util", "reqwest", "lapin", "gstreamer", "aws-sdk-s3", "axum"];

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

#[test]
fn every_crate_depends_downward_only() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let mut wrong = Vec::new();
    let mut edges = 0;
    for package in &metadata.packages {
        let Some(own) = layer(&package.name) else {
            wrong.push(format!("{} stands in no layer: add it to LAYERS", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some(its) = layer(&dependency.name) {
                edges += 1;
                if its >= own {
                    wrong.push(format!("{} ({own}) depends on {} ({its})", package.name, dependency.name));
                }
            }
            if own <= 3 && IMPURE.contains(&dependency.name.as_str()) {
                wrong.push(format!("{} is pure and must not use {}", package.name, dependency.name));
            }
        }
    }
    assert!(edges > 30, "only {edges} edges seen: the check looks at the wrong thing");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_named_crates_know_their_engines() {
    let owners = [
        ("lapin", vec!["broker"]),
        ("whisper-rs", vec!["transcript"]),
        ("aws-sdk-s3", vec!["storage"]),
        ("gstreamer", vec!["graph", "compositor", "meeting", "e2e"]),
    ];
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some((engine, owners)) = owners.iter().find(|(engine, _)| *engine == dependency.name) {
                assert!(owners.contains(&package.name.as_str()), "{} must not use {engine}", package.name);
            }
        }
    }
}

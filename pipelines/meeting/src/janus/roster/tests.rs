use serde_json::{Value, json};

use super::*;

fn notice(data: Value) -> Notice {
    serde_json::from_value(data).unwrap()
}

fn publisher(id: u64, name: &str, streams: &Value) -> Value {
    json!({"videoroom": "event", "publishers": [{"id": id, "display": name, "streams": streams}]})
}

fn camera_and_microphone() -> Value {
    json!([
        {"type": "audio", "mindex": 0, "mid": "0", "codec": "opus"},
        {"type": "video", "mindex": 1, "mid": "1", "codec": "vp8"},
    ])
}

/// Steps as short words. Tracks are named by the order in which they were first told of.
struct Scene {
    roster: Roster,
    tracks: Vec<TrackId>,
}

impl Scene {
    fn new() -> Self {
        Self { roster: Roster::new(ScreenRule::default(), "REC".into()), tracks: Vec::new() }
    }

    fn hear(&mut self, data: Value) -> String {
        let steps = self.roster.hear(notice(data));
        steps.into_iter().map(|step| self.word(step)).collect::<Vec<_>>().join(" ")
    }

    fn word(&mut self, step: Step) -> String {
        match step {
            Step::Receive(Id::Number(feed), wanted) => {
                format!(
                    "receive({feed}:{})",
                    wanted.iter().map(|wanted| wanted.mid.as_str()).collect::<Vec<_>>().join(",")
                )
            }
            Step::Tell(Event::Arrived(person)) => format!("+{}={}", person.id, person.name),
            Step::Tell(Event::Departed(person)) => format!("-{person}"),
            Step::Tell(Event::Track(track)) => {
                assert!(!self.tracks.contains(&track.id), "an id came twice");
                self.tracks.push(track.id);
                format!("track{}({}:{:?})", self.tracks.len(), track.participant, track.source)
            }
            Step::Tell(Event::Untrack(track)) => format!("untrack{}", self.number(&track)),
            Step::Tell(Event::Muted(track)) => format!("muted{}", self.number(&track)),
            Step::Tell(Event::Unmuted(track)) => format!("unmuted{}", self.number(&track)),
            Step::Tell(Event::Speaking(people)) => {
                format!("speaking[{}]", people.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(","))
            }
            other => panic!("{other:?}"),
        }
    }

    fn number(&self, track: &TrackId) -> usize {
        self.tracks.iter().position(|known| known == track).unwrap() + 1
    }
}

#[test]
fn a_publisher_comes_goes_silent_and_leaves() {
    let mut scene = Scene::new();
    #[rustfmt::skip]
    let story = [
        (json!({"videoroom": "event", "joining": {"id": 7, "display": "Åse"}}),  "+7=Åse"),
        (publisher(7, "Åse", &camera_and_microphone()),                           "receive(7:0,1) track1(7:Microphone) track2(7:Camera)"),
        (publisher(7, "Åse", &camera_and_microphone()),                           ""),
        (json!({"videoroom": "event", "id": 7, "mid": "0", "moderation": "muted"}),   "muted1"),
        (json!({"videoroom": "event", "id": 7, "mid": "0", "moderation": "unmuted"}), "unmuted1"),
        (json!({"videoroom": "event", "unpublished": 7}),                        "untrack1 untrack2 receive(7:)"),
        (json!({"videoroom": "event", "unpublished": 7}),                        ""),
        (json!({"videoroom": "event", "unpublished": "ok"}),                     ""),
        (json!({"videoroom": "event", "leaving": 7}),                            "-7"),
        (json!({"videoroom": "event", "leaving": 7}),                            ""),
    ];
    for (said, done) in story {
        assert_eq!(scene.hear(said.clone()), done, "{said}");
    }
}

#[test]
fn what_is_added_or_ended_changes_only_itself() {
    let mut scene = Scene::new();
    scene.hear(publisher(7, "Åse", &camera_and_microphone()));
    let with_screen = json!([
        {"type": "audio", "mid": "0", "codec": "opus"},
        {"type": "video", "mid": "1", "disabled": true},
        {"type": "video", "mid": "2", "codec": "h264", "description": "My Screen 1"},
        {"type": "video", "mid": "3", "codec": "av1"},
        {"type": "data", "mid": "4"},
    ]);
    assert_eq!(scene.hear(publisher(7, "Åse", &with_screen)), "untrack2 receive(7:0,2) track3(7:Screen)");
}

#[test]
fn another_codec_is_another_track_and_one_that_we_cannot_record_is_none() {
    let mut scene = Scene::new();
    let camera = |codec: &str| publisher(7, "Åse", &json!([{"type": "video", "mid": "1", "codec": codec}]));
    assert_eq!(scene.hear(camera("vp8")), "+7=Åse receive(7:1) track1(7:Camera)");
    assert_eq!(scene.hear(camera("h264")), "untrack1 receive(7:1) track2(7:Camera)");
    assert_eq!(scene.hear(camera("av1")), "untrack2 receive(7:)");
    assert_eq!(scene.hear(camera("vp8")), "receive(7:1) track3(7:Camera)");
}

#[test]
fn somebodys_screen_belongs_to_them_and_outlives_them() {
    let mut scene = Scene::new();
    scene.hear(publisher(1, "Åse", &camera_and_microphone()));
    let screen = json!([{"type": "video", "mid": "0", "codec": "vp8"}]);
    assert_eq!(scene.hear(publisher(2, "Åse (screen)", &screen)), "receive(2:0) track3(1:Screen)");
    assert_eq!(
        scene.hear(json!({"videoroom": "event", "leaving": 1})),
        "untrack1 untrack2 receive(1:) +2=Åse untrack3 receive(2:0) track4(2:Screen) -1"
    );
    assert_eq!(scene.hear(publisher(3, "Ole (screen)", &screen)), "+3=Ole receive(3:0) track5(3:Screen)");
}

#[test]
fn who_is_left_out_stays_here_and_may_send_anew() {
    let mut scene = Scene::new();
    scene.hear(publisher(7, "Åse", &camera_and_microphone()));
    let steps: Vec<_> = scene.roster.hide(&Id::Number(7)).into_iter().map(|step| scene.word(step)).collect();
    assert_eq!(steps, ["untrack1", "untrack2", "receive(7:)"]);
    assert!(scene.roster.hide(&Id::Number(7)).is_empty() && scene.roster.hide(&Id::Number(8)).is_empty());
    let anew = scene.hear(publisher(7, "Åse", &camera_and_microphone()));
    assert_eq!(anew, "receive(7:0,1) track3(7:Microphone) track4(7:Camera)");
}

#[test]
fn namesakes_and_those_who_come_back_are_told_apart() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.hear(json!({"videoroom": "joined", "id": 99, "attendees": [{"id": 1, "display": "Bo"}, {"id": 2, "display": "Bo"}]})),
        "+1=Bo +2=Bo"
    );
    scene.hear(publisher(1, "Bo", &camera_and_microphone()));
    scene.hear(json!({"videoroom": "event", "kicked": 1}));
    let again = scene.hear(publisher(1, "Bo", &camera_and_microphone()));
    assert_eq!(again, "+1=Bo receive(1:0,1) track3(1:Microphone) track4(1:Camera)");
    assert_eq!(scene.hear(json!({"videoroom": "event", "id": 2, "display": "Bo\u{202e} Berg"})), "+2=Bo Berg");
}

#[test]
fn another_recorder_is_nobody_until_it_sends() {
    let mut scene = Scene::new();
    assert_eq!(scene.hear(json!({"videoroom": "event", "joining": {"id": 5, "display": "REC"}})), "");
    assert_eq!(scene.hear(json!({"videoroom": "event", "leaving": 5})), "");
    let impostor = scene.hear(publisher(6, "REC", &camera_and_microphone()));
    assert_eq!(impostor, "+6=REC receive(6:0,1) track1(6:Microphone) track2(6:Camera)");
}

#[test]
fn the_latest_speaker_comes_first() {
    let mut scene = Scene::new();
    for id in [1, 2] {
        scene.hear(publisher(id, "x", &camera_and_microphone()));
    }
    let talking = |id: u64, word: &str| json!({"videoroom": word, "id": id, "mid": "0"});
    assert_eq!(scene.hear(talking(1, "talking")), "speaking[1]");
    assert_eq!(scene.hear(talking(2, "talking")), "speaking[2,1]");
    assert_eq!(scene.hear(talking(1, "talking")), "speaking[1,2]");
    assert_eq!(scene.hear(talking(1, "stopped-talking")), "speaking[2]");
    assert_eq!(scene.hear(talking(9, "talking")), "");
    let left = scene.hear(json!({"videoroom": "event", "leaving": 2}));
    assert!(left.ends_with("speaking[] -2"), "{left}");
}

#[test]
fn a_moderated_track_stays_muted_though_packets_come() {
    let mut scene = Scene::new();
    let streams = json!([{"type": "audio", "mid": "0", "codec": "opus", "moderated": true}]);
    assert_eq!(scene.hear(publisher(1, "x", &streams)), "+1=x receive(1:0) track1(1:Microphone) muted1");
    let track = scene.tracks[0].clone();
    assert!(scene.roster.silence(&track, true).is_none());
    assert_eq!(scene.hear(json!({"videoroom": "event", "id": 1, "mid": "0", "moderation": "unmuted"})), "");
    assert!(matches!(scene.roster.silence(&track, false), Some(Event::Unmuted(_))));
}

#[test]
fn text_ids_that_people_choose_are_not_shown() {
    assert_eq!(participant_id(&Id::Text("a-1_B".into())).0, "a-1_B");
    let long = participant_id(&Id::Text("../../etc/passwd".into())).0;
    assert!(long.len() == 32 && long.bytes().all(|b| b.is_ascii_hexdigit()), "{long}");
    assert_ne!(participant_id(&Id::Text("../a".into())), participant_id(&Id::Text("../b".into())));
}

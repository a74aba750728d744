//! What must not come in, each with its word for machines.
//!
//! The numbers of rows are those of the list of bad input that the design began with; where each row is tested, here and
//! elsewhere, stands in the end-to-end package: `tests/tests/bad_input_rows.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy.toml frees #[test] functions, not their helpers.

use events::{DecodeError, Event, MAX_BYTES, TenantId};
use serde_json::{Value, json};

/// A sound message, to be spoilt.
fn sound() -> Value {
    json!({
        "specversion": "1.0", "id": "e1", "source": "/janus/hall", "type": "no.lectern.recording.requested.v1",
        "subject": "1234", "time": "2026-11-22T09:15:00Z", "datacontenttype": "application/json",
        "tenant": "uni", "sessionid": "s1", "partitionkey": "s1",
        "data": {
            "policy": "lectures", "requested_by": "policy", "layout": "speaker", "language": "nb",
            "basis": "public-task", "retention_days": 365, "webinar": false, "max_seconds": 7200
        }
    })
}

fn reason(message: &[u8]) -> &'static str {
    Event::parse(message).expect_err("it was read").reason()
}

/// [`sound`] with the member at `pointer` replaced.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut message = sound();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    message.pointer_mut(parent).expect("a parent")[name] = value;
    message.to_string().into_bytes()
}

#[test]
fn the_sound_message_is_read() {
    assert!(Event::parse(sound().to_string().as_bytes()).is_ok());
}

#[test]
fn what_is_not_json_is_refused_by_its_sort() {
    let text = sound().to_string();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    #[rustfmt::skip]
    let table: [(&str, Vec<u8>, &str); 15] = [
        ("nothing",            b"".to_vec(),                                   "not-json"),
        ("text",               b"hello".to_vec(),                              "not-json"),
        ("cut short",          text.as_bytes()[..text.len() - 1].to_vec(),     "not-json"),
        ("two messages",       format!("{text}{text}").into_bytes(),           "not-json"),
        ("a mark before",      format!("\u{feff}{text}").into_bytes(),         "encoding"),
        ("UTF-16",             utf16,                                          "encoding"),
        ("Latin-1",            b"{\"a\":\"\xe6\"}".to_vec(),                   "encoding"),
        ("an array",           b"[]".to_vec(),                                 "not-an-event"),
        ("40 MiB",             vec![b' '; 40 << 20],                           "too-long"),
        ("10 000 deep",        vec![b'['; 10_000],                             "too-deep"),
        ("17 deep",            format!("{}1{}", "[".repeat(17), "]".repeat(17)).into_bytes(), "too-deep"),
        ("NaN",                text.replace("7200", "NaN").into_bytes(),       "not-json"),
        ("1e999",              text.replace("7200", "1e999").into_bytes(),     "number"),
        ("2^63+1",             text.replace("7200", "9223372036854775809").into_bytes(), "number"),
        ("a fraction",         text.replace("7200", "7200.0").into_bytes(),    "number"),
    ];
    for (what, message, wanted) in table {
        assert_eq!(reason(&message), wanted, "{what}");
    }
}

#[test]
fn the_limits_themselves_are_within() {
    let mut message = with("/extension", json!("x"));
    message.resize(MAX_BYTES, b' ');
    assert!(Event::parse(&message).is_ok(), "64 KiB");
    message.push(b' ');
    assert_eq!(reason(&message), "too-long");
    // Brackets within strings are no depth.
    assert!(Event::parse(&with("/extension", json!("[{\\\"[".repeat(20)))).is_ok(), "brackets in a string");
}

#[test]
fn a_key_twice_is_refused_wherever_it_stands() {
    let text = sound().to_string();
    let outer = text.replacen('{', r#"{"id":"e2","#, 1);
    let inner = text.replace(r#""webinar":false"#, r#""webinar":false,"webinar":true"#);
    let escaped = text.replace(r#""webinar":false"#, r#""webinar":false,"w\u0065binar":true"#);
    let deep = text.replacen('{', r#"{"extension":[{"a":1,"a":1}],"#, 1);
    for message in [outer, inner, escaped, deep] {
        assert_ne!(message, text);
        assert_eq!(reason(message.as_bytes()), "duplicate-key");
    }
}

#[test]
fn attributes_outside_the_contract_are_refused() {
    #[rustfmt::skip]
    let table = [
        ("/specversion",    json!("0.3"),                                   "bad-attribute"),
        ("/id",             json!(""),                                      "bad-attribute"),
        ("/id",             json!(7),                                       "bad-attribute"),
        ("/source",         json!("/zoom/hall"),                            "bad-attribute"),
        ("/source",         json!("/janus/../x"),                           "bad-attribute"),
        ("/time",           json!("yesterday"),                             "bad-attribute"),
        ("/datacontenttype", json!("application/xml"),                      "bad-attribute"),
        ("/partitionkey",   json!("s2"),                                    "bad-attribute"),
        ("/type",           json!("com.example.x.v1"),                      "unknown-type"),
        ("/type",           json!("no.lectern.room.exploded.v1"),           "unknown-type"),
        ("/type",           json!("no.lectern.recording.requested.v2"),     "newer-version"),
        ("/type",           json!("no.lectern.recording.requested.v0"),     "unknown-type"),
        ("/type",           json!("no.lectern.recording.requested"),        "unknown-type"),
        ("/subject",        json!("../../etc/passwd"),                      "bad-id"),
        ("/subject",        json!("..%2f"),                                 "bad-id"),
        ("/subject",        json!("a\u{0}b"),                               "bad-id"),
        ("/subject",        json!("*.#"),                                   "bad-id"),
        ("/subject",        json!("x".repeat(65)),                          "bad-id"),
        ("/tenant",         json!("uni lund"),                              "bad-id"),
        ("/sessionid",      json!(""),                                      "bad-id"),
        ("/data/policy",    json!("a/b"),                                   "bad-data"),
        ("/data/layout",    json!("mosaic"),                                "bad-data"),
        ("/data/language",  json!("norsk bokmål"),                          "bad-data"),
        ("/data/requested_by", json!("Kari Nordmann"),                      "bad-data"),
        ("/data/retention_days", json!(-1),                                 "bad-data"),
        ("/data/webinar",   json!("false"),                                 "bad-data"),
        ("/data/stranger",  json!(1),                                       "bad-data"),
        ("/data",           json!("e30="),                                  "bad-data"),
    ];
    for (pointer, value, wanted) in table {
        assert_eq!(reason(&with(pointer, value.clone())), wanted, "{pointer} = {value}");
    }
    for name in ["specversion", "id", "source", "type", "subject", "time", "tenant", "sessionid", "data"] {
        let mut message = sound();
        message.as_object_mut().unwrap().remove(name);
        assert_eq!(reason(message.to_string().as_bytes()), "missing-attribute", "{name}");
    }
}

#[test]
fn extension_attributes_of_others_are_passed_over() {
    let event = Event::parse(&with("/traceparent", json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
    assert_eq!(event, Event::parse(sound().to_string().as_bytes()));
}

/// Row 14. This crate opens no connection at all, and what it hands on has no field that could hold an address.
#[test]
fn an_address_is_passed_over_or_refused() {
    let sound = Event::parse(sound().to_string().as_bytes()).unwrap();
    let urls = [
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "http://localhost:5672/",
        "gopher://x/",
        "//x/",
        "http://[::ffff:169.254.169.254]/",
    ];
    for url in urls {
        for name in ["/callback", "/webhook", "/dataschema", "/replyto"] {
            assert_eq!(Event::parse(&with(name, json!(url))).unwrap(), sound, "{name} is not ours");
        }
        #[rustfmt::skip]
        let table = [
            ("/data/callback", "bad-data"), ("/data/policy", "bad-data"), ("/data/requested_by", "bad-data"),
            ("/data/language", "bad-data"), ("/source", "bad-attribute"), ("/id", "bad-attribute"), ("/subject", "bad-id"),
        ];
        for (pointer, wanted) in table {
            assert_eq!(reason(&with(pointer, json!(url))), wanted, "{pointer} = {url}");
        }
    }
}

#[test]
fn keys_and_credentials_are_refused_anywhere_and_never_repeated() {
    let recipient = format!("age1{}", "q".repeat(58));
    #[rustfmt::skip]
    let table = [
        ("/data/access_key", json!("swordfish")),
        ("/data/pin",        json!(4711)),
        ("/s3secret",        json!("swordfish")),
        ("/recipients",      json!([recipient])),
        ("/data/requested_by", json!(recipient)),
        ("/extension",       json!([{ "deep": "AGE-SECRET-KEY-1SWORDFISH" }])),
        ("/extension",       json!({ "room_password": "swordfish" })),
    ];
    for (pointer, value) in table {
        let error = Event::parse(&with(pointer, value)).unwrap_err();
        assert_eq!(error, DecodeError::Secret, "{pointer}");
        let told = format!("{error} {error:?}").to_lowercase();
        assert!(!told.contains("swordfish") && !told.contains("qqqq"), "{told}");
    }
}

#[test]
fn an_event_of_another_tenant_is_refused() {
    let event = Event::parse(sound().to_string().as_bytes()).unwrap();
    assert!(event.clone().for_tenant(&TenantId::new("uni").unwrap()).is_ok());
    assert_eq!(event.for_tenant(&TenantId::new("other").unwrap()), Err(DecodeError::WrongTenant));
}

#[test]
fn an_absurd_duration_comes_to_twelve_hours() {
    let longest = |seconds: i64| {
        let event = Event::parse(&with("/data/max_seconds", json!(seconds))).unwrap();
        let events::Body::RecordingRequested(wish) = event.body else { panic!("another kind") };
        wish.longest().as_secs()
    };
    let table =
        [(-1, 43_200), (0, 43_200), (1, 1), (7200, 7200), (43_201, 43_200), (315_360_000, 43_200), (i64::MIN, 43_200)];
    for (asked, given) in table {
        assert_eq!(longest(asked), given, "{asked}");
    }
}

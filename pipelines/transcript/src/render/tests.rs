//! Goldens and properties of the renderers.

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::flag;

fn cue(begins_ms: u64, lasts_ms: u64, text: &str) -> Cue {
    Cue {
        begins: MediaTime(begins_ms * 1_000_000),
        lasts: Duration::from_millis(lasts_ms),
        text: text.into(),
        confidence: 0.875,
        flags: Vec::new(),
    }
}

fn transcript(cues: Vec<Cue>) -> Transcript {
    Transcript {
        format: Transcript::FORMAT.into(),
        language: "nb".into(),
        machine_made: true,
        model: "ggml-nb.bin sha256:00ff".into(),
        cues,
    }
}

fn lecture() -> Transcript {
    let invented = Cue { flags: vec![flag::NO_SPEECH.into()], ..cue(6000, 1000, "Takk for at du så på") };
    transcript(vec![
        cue(0, 1500, "Velkommen til forelesningen."),
        cue(1500, 2250, "Vi skriver a < b && b --> c\u{0} i dag"),
        invented,
        cue(
            3_723_004,
            9000,
            "Dette er en lang setning som ikke får plass på to linjer i bildet, og derfor må den deles i to bilder som følger etter hverandre",
        ),
    ])
}

#[test]
fn webvtt_escapes_splits_and_says_who_made_it() {
    expect![[r#"
        WEBVTT

        NOTE
        Machine-made; may be wrong.
        Model: ggml-nb.bin sha256:00ff

        00:00:00.000 --> 00:00:01.500
        Velkommen til forelesningen.

        00:00:01.500 --> 00:00:03.750
        Vi skriver a &lt; b &amp;&amp; b --&gt; c i dag

        01:02:03.004 --> 01:02:08.620
        Dette er en lang setning som ikke får
        plass på to linjer i bildet, og derfor må

        01:02:08.620 --> 01:02:12.004
        den deles i to bilder som følger etter
        hverandre

    "#]]
    .assert_eq(&lecture().vtt());
}

#[test]
fn srt_counts_from_one_and_has_no_second_arrow() {
    expect![[r#"
        1
        00:00:00,000 --> 00:00:01,500
        Velkommen til forelesningen.

        2
        00:00:01,500 --> 00:00:03,750
        Vi skriver a < b && b → c i dag

        3
        01:02:03,004 --> 01:02:08,620
        Dette er en lang setning som ikke får
        plass på to linjer i bildet, og derfor må

        4
        01:02:08,620 --> 01:02:12,004
        den deles i to bilder som følger etter
        hverandre

    "#]]
    .assert_eq(&lecture().srt());
}

#[test]
fn plain_text_is_paragraphs_with_their_times() {
    expect![[r#"
        Machine-made transcript; may be wrong.
        Model: ggml-nb.bin sha256:00ff


        [00:00:00] Velkommen til forelesningen. Vi skriver a < b && b --> c i dag

        [01:02:03] Dette er en lang setning som ikke får plass på to linjer i bildet, og derfor må den deles i to bilder som følger etter hverandre
    "#]].assert_eq(&lecture().txt());
}

#[test]
fn json_keeps_every_cue_and_reads_back() {
    let written = lecture().json();
    assert_eq!(Transcript::parse(written.as_bytes()).unwrap(), lecture());
    assert!(written.contains("no-speech") && written.contains("Takk for at du så på"));
    assert!(Transcript::parse(br#"{"format":"x","language":"nb","machine_made":true,"model":"m","cues":[]}"#).is_err());
}

#[test]
fn an_hour_long_line_is_clamped_and_an_empty_one_is_no_caption() {
    let vtt = transcript(vec![cue(0, 3_600_000, "hei"), cue(50_000, 10, " \r\n ")]).vtt();
    assert!(vtt.ends_with("00:00:00.000 --> 00:00:30.000\nhei\n\n"), "{vtt}");
}

/// A strict reader of what we write: header, then blocks of a time line and one or two lines of text.
fn read_vtt(text: &str) -> Vec<(u64, u64, String)> {
    let body = text.strip_prefix("WEBVTT\n\n").expect("the header");
    let blocks = body.strip_suffix("\n\n").expect("ends with a blank line").split("\n\n");
    let ms = |stamp: &str| -> u64 {
        let parts: Vec<u64> = stamp.split([':', '.']).map(|n| n.parse().expect(stamp)).collect();
        let [h, m, s, ms] = parts[..] else { panic!("{stamp}") };
        assert!(m < 60 && s < 60 && ms < 1000);
        ((h * 60 + m) * 60 + s) * 1000 + ms
    };
    blocks
        .filter(|block| !block.starts_with("NOTE"))
        .map(|block| {
            let (times, text) = block.split_once('\n').expect(block);
            let (from, to) = times.split_once(" --> ").expect(times);
            assert!(!text.contains("-->") && text.lines().count() <= 2 && !text.trim().is_empty(), "{block}");
            (ms(from), ms(to), text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        })
        .collect()
}

proptest! {
    #[test]
    fn no_text_breaks_out_of_its_caption(
        cues in proptest::collection::vec((0_u64..10_000_000, 0_u64..100_000, "(\\PC|[\n\r\u{0}<>&-]|-->|NOTE|\n\n){0,120}"), 0..12)
    ) {
        let transcript = transcript(cues.iter().map(|(b, l, t)| cue(*b, *l, t)).collect());
        let read = read_vtt(&transcript.vtt());
        for (from, to, _) in &read {
            prop_assert!(from < to);
        }
        let mut sorted = transcript.cues.clone();
        sorted.sort_by_key(|c| c.begins);
        let said: String = sorted.iter().flat_map(|c| clean(&c.text).chars().collect::<Vec<_>>()).filter(|c| *c != ' ').collect();
        let mut shown: String = read.iter().map(|r| r.2.as_str()).collect();
        shown.retain(|c| c != ' ' && c != '\n');
        prop_assert_eq!(said.chars().count(), shown.chars().count());
        let srt = transcript.srt();
        prop_assert_eq!(srt.matches("-->").count(), read.len());
        prop_assert!(!srt.contains('\0'));
    }
}

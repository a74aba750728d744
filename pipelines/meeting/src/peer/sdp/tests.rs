use proptest::prelude::*;

use super::*;

const PRINT: &str = "a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

fn offer(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

/// What a browser's publisher behind an SFU looks like: session-level fingerprint, RED, FEC, several video codecs.
fn busy() -> String {
    offer(&[
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE a v",
        PRINT,
        "m=audio 9 UDP/TLS/RTP/SAVPF 63 111 110",
        "a=mid:a",
        "a=sendonly",
        "a=setup:actpass",
        "a=ice-ufrag:u",
        "a=ice-pwd:p",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtcp-fb:111 transport-cc",
        "a=rtpmap:110 telephone-event/48000",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        "m=video 9 UDP/TLS/RTP/SAVPF 98 102 103 96 97 116",
        "a=mid:v",
        "a=inactive",
        "a=rtcp-fb:* nack pli",
        "a=rtpmap:98 VP9/90000",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f",
        "a=rtcp-fb:102 nack",
        "a=rtpmap:103 rtx/90000",
        "a=fmtp:103 apt=102",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:116 ulpfec/90000",
        "a=candidate:1 1 udp 1 0a1b.local 5000 typ host",
        "a=candidate:2 1 udp 1 127.0.0.1 5000 typ host",
    ])
}

#[test]
fn an_offer_becomes_what_webrtcbin_can_take() {
    let munged = Offer::munge(&busy()).unwrap();
    let expected = offer(&[
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE a v",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:a",
        "a=sendonly",
        "a=setup:actpass",
        "a=ice-ufrag:u",
        "a=ice-pwd:p",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtcp-fb:111 transport-cc",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
        PRINT,
        "m=video 9 UDP/TLS/RTP/SAVPF 102 103",
        "a=mid:v",
        "a=sendonly",
        "a=rtcp-fb:* nack pli",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f",
        "a=rtcp-fb:102 nack",
        "a=rtpmap:103 rtx/90000",
        "a=fmtp:103 apt=102",
        "a=candidate:2 1 udp 1 127.0.0.1 5000 typ host",
        PRINT,
        "a=setup:actpass",
        "a=ice-ufrag:u",
        "a=ice-pwd:p",
    ]);
    assert_eq!(munged.text(), expected);
    let mids: Vec<_> = munged.media().iter().map(|medium| (medium.mid.as_str(), medium.inactive)).collect();
    assert_eq!(mids, [("a", false), ("v", true)]);
}

#[test]
fn the_wire_sees_inactive_where_inactive_was_offered() {
    let munged = Offer::munge(&busy()).unwrap();
    let answer = offer(&["v=0", "m=audio 9 X 111", "a=recvonly", "m=video 9 X 102", "a=recvonly"]);
    let wire = offer(&["v=0", "m=audio 9 X 111", "a=recvonly", "m=video 9 X 102", "a=inactive"]);
    assert_eq!(munged.restore(&answer).unwrap(), wire);
}

#[test]
fn interleaved_h264_is_passed_over() {
    let text = offer(&[
        "v=0",
        "m=video 9 X 100 101",
        PRINT,
        "a=rtpmap:100 H264/90000",
        "a=fmtp:100 packetization-mode=2",
        "a=rtpmap:101 H264/90000",
    ]);
    assert!(Offer::munge(&text).unwrap().text().contains("m=video 9 X 101\r\n"));
}

#[test]
fn a_medium_without_our_codecs_is_left_alone() {
    let text = offer(&["v=0", "m=video 9 X 100", "a=rtpmap:100 AV1/90000", PRINT]);
    assert_eq!(Offer::munge(&text).unwrap().text(), text);
}

#[test]
fn what_cannot_be_trusted_or_is_too_big_is_refused() {
    let refused = |text: &str| Offer::munge(text).unwrap_err();
    assert_eq!(refused(&offer(&["v=0", "m=audio 9 X 1"])), SdpError::NoFingerprint(0));
    let sha1 = format!("a=fingerprint:sha-1 {}", "00:".repeat(19) + "00");
    assert_eq!(refused(&offer(&["v=0", &sha1, "m=audio 9 X 1"])), SdpError::NoFingerprint(0));
    assert_eq!(refused(&"v=0\r\n".repeat(1_000_000)), SdpError::TooLong(5_000_000));
    let many = format!("v=0\r\n{PRINT}\r\n{}", "m=audio 9 X 1\r\n".repeat(10_000));
    assert_eq!(refused(&many), SdpError::TooManyMedia(10_000));
    assert_eq!(refused("v=0\r\nhello\r\n"), SdpError::Malformed(2));
    assert_eq!(refused("v=0\r\na=\u{7}\r\n"), SdpError::Malformed(2));
    assert_eq!(refused(""), SdpError::Empty);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_munging_twice_changes_nothing(text in "([a-z]=[ -~]{0,20}\r\n|m=(audio|video) 9 X [0-9 ]{0,9}\r\n|a=(inactive|mid:1|rtpmap:1 VP8/9|rtpmap:2 opus/9|fmtp:3 apt=1)\r\n){0,30}") {
        let text = format!("v=0\r\n{PRINT}\r\n{text}");
        if let Ok(once) = Offer::munge(&text) {
            let twice = Offer::munge(once.text()).unwrap();
            prop_assert_eq!(twice.text(), once.text());
        }
    }
}

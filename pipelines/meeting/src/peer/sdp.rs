//! Session descriptions as text: a remote offer made digestible for webrtcbin 1.22, and the answer put right again
//! before it goes out. Pure; knows nothing of GStreamer.
//!
//! Lines that are not named here pass through untouched.

use std::fmt;

use media::{Codec, Kind};

use super::fingerprint::Fingerprint;

/// Far above any real offer (a room of 30 is some 60 KiB), far below what parsing could choke on.
const LONGEST: usize = 256 * 1024;

/// Twice what one subscriber connection carries in practice.
const MOST_MEDIA: usize = 64;

/// RTP header extensions that webrtcbin 1.22 has an element for and a receiver gains from. Each other one is dropped
/// from the offer, so that the answer never promises what nobody reads.
const EXTENSIONS: [&str; 2] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
];

/// What RFC 8866 lets stand once for the session but webrtcbin 1.22 wants with each medium, or rejects when both differ.
const PER_MEDIUM: [&str; 4] = ["a=fingerprint:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:"];

/// An offer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    #[error("the session description has {0} bytes; at most {LONGEST} are read")]
    TooLong(usize),
    #[error("the session description has {0} media; at most {MOST_MEDIA} are read")]
    TooManyMedia(usize),
    #[error("line {0} of the session description is not one")]
    Malformed(usize),
    #[error("the session description names no medium")]
    Empty,
    #[error("medium {0} promises no SHA-2 fingerprint, so its sender could not be told from an impostor")]
    NoFingerprint(usize),
}

/// A remote offer, rewritten for webrtcbin.
#[derive(Debug, Clone)]
pub struct Offer {
    text: String,
    media: Vec<Medium>,
}

/// One m-line of an offer.
#[derive(Debug, Clone)]
pub struct Medium {
    /// RFC 5888; empty when the offer has none.
    pub mid: String,
    /// Certificates that its sender may show: at least one.
    pub fingerprints: Vec<Fingerprint>,
    /// Offered as `inactive`: what webrtcbin is told is `sendonly`, what goes out says `inactive` again.
    inactive: bool,
}

impl Offer {
    /// Rewrites `offer`:
    /// * `inactive` becomes `sendonly`, since webrtcbin before 1.24 cannot turn a line back on (its commit 77e01571c8);
    /// * fingerprint, setup and ICE credentials stand with each medium and nowhere else;
    /// * video is one of VP8 and H.264, the first that is offered, with its RTX; audio is Opus: no RED, no FEC;
    /// * unknown header extensions and candidates with mDNS names are left out.
    ///
    /// A medium without such a codec stays as it is.
    ///
    /// # Errors
    /// When the text is too big, is no session description, or a medium is not bound to any certificate.
    pub fn munge(offer: &str) -> Result<Self, SdpError> {
        let mut sdp = Sdp::parse(offer)?;
        let shared = sdp.shared_lines();
        sdp.session.retain(|line| !PER_MEDIUM.iter().any(|name| line.starts_with(name)));
        let mut media = Vec::new();
        for (index, lines) in sdp.media.iter_mut().enumerate() {
            for (name, values) in &shared {
                if !lines.iter().any(|line| line.starts_with(name)) {
                    lines.extend(values.iter().cloned());
                }
            }
            let fingerprints: Vec<_> = values(lines, "a=fingerprint:").filter_map(Fingerprint::parse).collect();
            if fingerprints.is_empty() {
                return Err(SdpError::NoFingerprint(index));
            }
            let inactive = replace(lines, "a=inactive", "a=sendonly");
            keep_one_codec(lines);
            lines.retain(|line| is_wanted(line));
            let mid = values(lines, "a=mid:").next().unwrap_or_default().to_owned();
            media.push(Medium { mid, fingerprints, inactive });
        }
        Ok(Self { text: sdp.to_string(), media })
    }

    /// The rewritten offer.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn media(&self) -> &[Medium] {
        &self.media
    }

    /// webrtcbin's answer to [`Offer::text`], as the offerer must see it: what was offered inactive is inactive.
    ///
    /// # Errors
    /// When `answer` is no session description.
    pub fn restore(&self, answer: &str) -> Result<String, SdpError> {
        let mut sdp = Sdp::parse(answer)?;
        for (lines, medium) in sdp.media.iter_mut().zip(&self.media) {
            if medium.inactive {
                for direction in ["a=recvonly", "a=sendrecv", "a=sendonly"] {
                    replace(lines, direction, "a=inactive");
                }
            }
        }
        Ok(sdp.to_string())
    }
}

/// A description, cut at its m-lines.
struct Sdp {
    session: Vec<String>,
    media: Vec<Vec<String>>,
}

impl Sdp {
    fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > LONGEST {
            return Err(SdpError::TooLong(text.len()));
        }
        let mut sdp = Self { session: Vec::new(), media: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() {
                continue;
            }
            // RFC 8866 §5: one letter, an equals sign.
            if line.as_bytes().get(1) != Some(&b'=') || line.contains(char::is_control) {
                return Err(SdpError::Malformed(number + 1));
            }
            if line.starts_with("m=") {
                sdp.media.push(Vec::new());
            }
            sdp.media.last_mut().unwrap_or(&mut sdp.session).push(line.to_owned());
        }
        match sdp.media.len() {
            0 => Err(SdpError::Empty),
            count if count > MOST_MEDIA => Err(SdpError::TooManyMedia(count)),
            _ => Ok(sdp),
        }
    }

    /// The lines of [`PER_MEDIUM`] that hold for media without their own: the session's, else the first medium's that
    /// has some (a later one of the same bundle may leave them out).
    fn shared_lines(&self) -> Vec<(&'static str, Vec<String>)> {
        PER_MEDIUM
            .into_iter()
            .map(|name| {
                let places = std::iter::once(&self.session).chain(&self.media);
                let mut found =
                    places.map(|lines| lines.iter().filter(|line| line.starts_with(name)).cloned().collect());
                (name, found.find(|lines: &Vec<String>| !lines.is_empty()).unwrap_or_default())
            })
            .collect()
    }
}

impl fmt::Display for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.session.iter().chain(self.media.iter().flatten()) {
            write!(f, "{line}\r\n")?;
        }
        Ok(())
    }
}

fn values<'a>(lines: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| line.strip_prefix(name))
}

fn replace(lines: &mut [String], old: &str, new: &str) -> bool {
    let mut found = false;
    for line in lines.iter_mut().filter(|line| *line == old) {
        new.clone_into(line);
        found = true;
    }
    found
}

fn is_wanted(line: &str) -> bool {
    if let Some(extension) = line.strip_prefix("a=extmap:") {
        return extension.split(' ').nth(1).is_some_and(|uri| EXTENSIONS.contains(&uri));
    }
    // Our ICE agent would ask the network for these names; an SFU has real addresses.
    !(line.starts_with("a=candidate:") && is_mdns(line))
}

/// Whether a candidate hides its address behind a name of multicast DNS (RFC 8828).
#[must_use]
pub(super) fn is_mdns(candidate: &str) -> bool {
    candidate.split(' ').nth(4).is_some_and(|address| address.ends_with(".local"))
}

/// Leaves the first codec that we can record, and its retransmission, in a medium of its kind.
fn keep_one_codec(lines: &mut Vec<String>) {
    let Some((head, offered)) = payloads(lines) else { return };
    let kind = match lines.first() {
        Some(line) if line.starts_with("m=audio ") => Kind::Audio,
        Some(line) if line.starts_with("m=video ") => Kind::Video,
        _ => return,
    };
    let Some(chosen) = offered.iter().find(|pt| codec(lines, pt).is_some_and(|codec| codec.kind() == kind)) else {
        return;
    };
    let apt = format!("apt={chosen}");
    let again = offered.iter().filter(|pt| {
        encoding(lines, pt).is_some_and(|name| name.eq_ignore_ascii_case("rtx"))
            && format(lines, pt).is_some_and(|fmtp| fmtp.split(';').any(|parameter| parameter.trim() == apt))
    });
    let kept: Vec<String> = std::iter::once(chosen).chain(again).cloned().collect();
    if let Some(first) = lines.first_mut() {
        *first = format!("{head} {}", kept.join(" "));
    }
    lines.retain(|line| {
        let payload = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|name| line.strip_prefix(name));
        payload.and_then(|rest| rest.split(' ').next()).is_none_or(|pt| pt == "*" || kept.iter().any(|kept| kept == pt))
    });
}

/// The m-line up to its payload types, and these.
fn payloads(lines: &[String]) -> Option<(String, Vec<String>)> {
    let mut words = lines.first()?.split(' ');
    let head: Vec<&str> = words.by_ref().take(3).collect();
    Some((head.join(" "), words.map(str::to_owned).collect()))
}

fn encoding<'a>(lines: &'a [String], pt: &str) -> Option<&'a str> {
    let map = values(lines, "a=rtpmap:").find_map(|map| map.strip_prefix(pt)?.strip_prefix(' '))?;
    map.split('/').next()
}

fn format<'a>(lines: &'a [String], pt: &str) -> Option<&'a str> {
    values(lines, "a=fmtp:").find_map(|fmtp| fmtp.strip_prefix(pt)?.strip_prefix(' '))
}

/// What `pt` stands for, if it can be recorded.
fn codec(lines: &[String], pt: &str) -> Option<Codec> {
    let codec = codec_named(encoding(lines, pt)?)?;
    // RFC 6184 §6.4: interleaved packets are out of decoding order, and our depayloader does not sort them.
    let interleaved = format(lines, pt).is_some_and(|fmtp| fmtp.contains("packetization-mode=2"));
    (codec != Codec::H264 || !interleaved).then_some(codec)
}

/// The codec that SDP and RTP caps call `name`.
#[must_use]
pub fn codec_named(name: &str) -> Option<Codec> {
    match name.to_ascii_uppercase().as_str() {
        "VP8" => Some(Codec::Vp8),
        "H264" => Some(Codec::H264),
        "OPUS" => Some(Codec::Opus),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

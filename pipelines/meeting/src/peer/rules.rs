//! Packets against RFC 3550 are dropped where they come in, and counted: GStreamer drops them too, but here and there,
//! and keeps no count. Looks at no more than the shape of a packet; who sent it is SRTP's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer::prelude::*;
use gstreamer::{BufferList, BufferRef, Pad, PadProbeData, PadProbeReturn, PadProbeType};

/// How many packets one connection has dropped for their shape.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused(Arc<AtomicU64>);

impl Refused {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Guards the two places of `webrtc` that all packets pass: where they come from the network, with their headers in
    /// the clear, and where they are decrypted, since padding is encrypted.
    pub(super) fn watch(&self, webrtc: &gstreamer::Element) {
        let Some(bin) = webrtc.downcast_ref::<gstreamer::Bin>() else { return };
        let refused = self.clone();
        bin.connect_deep_element_added(move |_, _, element| {
            let factory = element.factory().map(|factory| factory.name());
            let (pad, sound): (_, fn(&[u8]) -> bool) = match factory.as_deref() {
                Some("nicesrc") => ("src", arrives_sound),
                Some("srtpdec") => ("rtp_src", is_sound),
                _ => return,
            };
            if let Some(pad) = element.static_pad(pad) {
                refused.guard(&pad, sound);
            }
        });
    }

    fn guard(&self, pad: &Pad, sound: fn(&[u8]) -> bool) {
        let refused = self.clone();
        let passes = move |buffer: &BufferRef| {
            let passes = buffer.map_readable().is_ok_and(|map| sound(&map));
            if !passes {
                refused.0.fetch_add(1, Ordering::Relaxed);
            }
            passes
        };
        pad.add_probe(PadProbeType::BUFFER | PadProbeType::BUFFER_LIST, move |_, info| match &mut info.data {
            Some(PadProbeData::Buffer(buffer)) if !passes(buffer) => PadProbeReturn::Drop,
            Some(PadProbeData::BufferList(list)) => {
                let whole: BufferList = list.iter_owned().filter(|buffer| passes(buffer)).collect();
                *list = whole;
                PadProbeReturn::Ok
            }
            _ => PadProbeReturn::Ok,
        });
    }
}

/// What comes from the network is DTLS, RTCP, or RTP with a header that fits (RFC 7983 §7, RFC 5761 §4).
fn arrives_sound(packet: &[u8]) -> bool {
    match packet {
        [20..=63, ..] | [128..=191, 192..=223, ..] => true,
        _ => header(packet).is_some(),
    }
}

/// A decrypted RTP packet has a header and padding that fit (RFC 3550 §5.1).
fn is_sound(packet: &[u8]) -> bool {
    let Some(header) = header(packet) else { return false };
    let padded = packet[0] & 0x20 != 0;
    let padding = packet.last().map_or(0, |last| usize::from(*last));
    !padded || (1..=packet.len() - header).contains(&padding)
}

/// How long the header is, extension and all; none when the version is not 2 or the header is longer than the packet.
fn header(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let fixed = 12 + 4 * usize::from(first & 0x0f);
    let extension = match packet.get(fixed..fixed + 4) {
        _ if first & 0x10 == 0 => 0,
        Some(head) => 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]])),
        None => return None,
    };
    (first >> 6 == 2 && fixed + extension <= packet.len()).then_some(fixed + extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of RTP with this first byte, and `rest` behind it.
    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend(rest);
        packet
    }

    #[test]
    fn each_length_within_a_packet_is_held_against_its_own() {
        #[rustfmt::skip]
        let table = [
            ("no payload",                       packet(0x80, &[]),                          true),
            ("a payload",                        packet(0x80, &[9, 0xff]),                   true),
            ("version 0",                        packet(0x00, &[9]),                         false),
            ("version 1",                        packet(0x40, &[9]),                         false),
            ("version 3",                        packet(0xc0, &[9]),                         false),
            ("one source that contributed",      packet(0x81, &[0; 4]),                      true),
            ("one, and no room for it",          packet(0x81, &[0; 3]),                      false),
            ("fifteen, and no room for them",    packet(0x8f, &[0; 59]),                     false),
            ("an empty extension",               packet(0x90, &[0xbe, 0xde, 0, 0]),          true),
            ("half an extension's head",         packet(0x90, &[0xbe, 0xde]),                false),
            ("an extension of one word",         packet(0x90, &[0xbe, 0xde, 0, 1, 1, 2, 3, 4]), true),
            ("the same, a byte short",           packet(0x90, &[0xbe, 0xde, 0, 1, 1, 2, 3]), false),
            ("an extension of 256 KiB",          packet(0x90, &[0xbe, 0xde, 0xff, 0xff, 9]), false),
            ("padding alone",                    packet(0xa0, &[0, 0, 3]),                   true),
            ("padding of one",                   packet(0xa0, &[1]),                         true),
            ("padding of none",                  packet(0xa0, &[9, 0]),                      false),
            ("padding into the header",          packet(0xa0, &[0, 0, 4]),                   false),
            ("padding and nothing there",        packet(0xa0, &[]),                          false),
            ("padding into an extension",        packet(0xb0, &[0xbe, 0xde, 0, 0, 0, 0, 4]), false),
            ("a header cut short",               packet(0x80, &[])[..11].to_vec(),           false),
            ("nothing",                          vec![],                                     false),
        ];
        for (what, packet, sound) in table {
            assert_eq!(is_sound(&packet), sound, "{what}");
        }
    }

    #[test]
    fn padding_is_looked_at_once_it_can_be_read_and_what_is_no_rtp_passes_to_whom_it_is_for() {
        assert!(arrives_sound(&packet(0xa0, &[0, 0, 0xff])), "encrypted, so its last byte means nothing");
        assert!(arrives_sound(&[22, 254, 253]), "DTLS");
        assert!(arrives_sound(&[0x81, 201, 0, 1, 0, 0, 0, 1]), "RTCP");
        for packet in [packet(0xc0, &[9]), packet(0x90, &[0, 0, 0xff, 0xff]), vec![0x80, 111], vec![0xff], vec![]] {
            assert!(!arrives_sound(&packet), "{packet:?}");
        }
    }
}

//! webrtcbin's traps, each with our way around it and without: the second half tells when a later GStreamer no longer
//! needs it. Two webrtcbins in one process; a sender whose RTP can be altered on its way out.

#![allow(clippy::expect_used, reason = "a test says what it missed")]

mod guest;
mod watcher;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{WebRTCPeerConnectionState, WebRTCSDPType, WebRTCSessionDescription};
use guest::{Signal, no_upnp, promised, sender};
use media::{Codec, TrackId};
use meeting::Outlet;
use meeting::peer::{PeerEvent, RecvPeer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use watcher::Frames;

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends signals, with what the wire shall see of the first one's SSRC and RTP time.
struct Sender {
    pipeline: gstreamer::Pipeline,
    webrtc: gstreamer::Element,
    candidates: mpsc::UnboundedReceiver<(u32, String)>,
    ssrc: Arc<AtomicU32>,
    time_shift: Arc<AtomicU32>,
    /// The next packet's number (RFC 3550 §5.1), where it is not the sender's own; 0 leaves it alone.
    number: Arc<AtomicU32>,
    /// Each packet of this place among the signal's own is lost; none at 0.
    loses: Arc<AtomicUsize>,
    /// Bytes of RTCP that have come back.
    feedback: Arc<AtomicUsize>,
    /// Nothing goes out.
    mute: Arc<AtomicBool>,
}

impl Sender {
    fn start(signals: &[Signal]) -> Self {
        Self::begin(signals, false)
    }

    fn begin(signals: &[Signal], mute: bool) -> Self {
        gstreamer::init().expect("GStreamer starts");
        let (pipeline, webrtc) = sender(signals);
        let (tell, candidates) = mpsc::unbounded_channel();
        webrtc.connect("on-ice-candidate", false, move |args| {
            let _ = tell.send((args[1].get().expect("a line"), args[2].get().expect("a candidate")));
            None
        });
        let (ssrc, time_shift) = (Arc::new(AtomicU32::new(1111)), Arc::new(AtomicU32::new(0)));
        let number = Arc::new(AtomicU32::new(0));
        let altered = (Arc::clone(&ssrc), Arc::clone(&time_shift), Arc::clone(&number));
        // RFC 3550 §5.1: time is bytes 4 to 7 of a packet, SSRC bytes 8 to 11.
        let rewrite = move |buffer: &mut gstreamer::BufferRef| {
            let mut map = buffer.map_writable().expect("a packet");
            let time = u32::from_be_bytes(map[4..8].try_into().expect("four bytes"));
            let time = time.wrapping_add(altered.1.load(Ordering::Relaxed));
            map[4..8].copy_from_slice(&time.to_be_bytes());
            map[8..12].copy_from_slice(&altered.0.load(Ordering::Relaxed).to_be_bytes());
            if altered.2.load(Ordering::Relaxed) > 0 {
                let [_, _, number @ ..] = altered.2.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                map[2..4].copy_from_slice(&number);
            }
        };
        let mute = Arc::new(AtomicBool::new(mute));
        for pad in webrtc.sink_pads().iter().filter_map(gstreamer::Pad::peer) {
            let mute = Arc::clone(&mute);
            let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
            pad.add_probe(kinds, move |_, _| match mute.load(Ordering::Relaxed) {
                true => gstreamer::PadProbeReturn::Drop,
                false => gstreamer::PadProbeReturn::Ok,
            });
        }
        alter(&webrtc.static_pad("sink_0").and_then(|pad| pad.peer()).expect("a linked sender"), rewrite);
        pipeline.set_state(gstreamer::State::Playing).expect("a sender starts");
        let (loses, feedback) = Default::default();
        Self { pipeline, webrtc, candidates, ssrc, time_shift, number, loses, feedback, mute }
    }

    async fn offer(&self) -> String {
        let until = Instant::now() + PATIENCE;
        while self.webrtc.sink_pads().iter().any(|pad| pad.current_caps().is_none()) {
            assert!(Instant::now() < until, "the sender has no caps");
            sleep(Duration::from_millis(10)).await;
        }
        let reply = promised(|promise| {
            self.webrtc.emit_by_name::<()>("create-offer", &[&None::<gstreamer::Structure>, &promise]);
        });
        let offer = reply.await.expect("an offer").get::<WebRTCSessionDescription>("offer").expect("an offer");
        promised(|promise| self.webrtc.emit_by_name::<()>("set-local-description", &[&offer, &promise])).await;
        offer.sdp().as_text().expect("text").replace("a=sendrecv", "a=sendonly")
    }

    async fn take(&self, answer: &str) {
        let answer = description(WebRTCSDPType::Answer, answer);
        promised(|promise| self.webrtc.emit_by_name::<()>("set-remote-description", &[&answer, &promise])).await;
    }

    /// Will offer to send again what was lost.
    fn sends_again(&self) {
        let transceiver =
            self.webrtc.emit_by_name::<gstreamer_webrtc::WebRTCRTPTransceiver>("get-transceiver", &[&0_i32]);
        transceiver.set_property("do-nack", true);
    }

    /// From now on the network loses as [`Sender::loses`] says, and what comes back is counted.
    fn watch_network(&self) {
        let (every, sent) = (Arc::clone(&self.loses), AtomicUsize::new(0));
        // RFC 3550 §5.1: the payload type is in the second byte, and never encrypted. What is sent again has another.
        let lost = move |buffer: &gstreamer::BufferRef| {
            let map = buffer.map_readable().expect("a packet");
            let every = every.load(Ordering::Relaxed);
            every > 0 && matches!(map[1] & 0x7f, 96 | 102) && sent.fetch_add(1, Ordering::Relaxed) % every == every - 1
        };
        let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
        self.within("nicesink").static_pad("sink").expect("a way out").add_probe(kinds, move |_, info| {
            match &mut info.data {
                Some(gstreamer::PadProbeData::Buffer(buffer)) if lost(buffer) => {
                    return gstreamer::PadProbeReturn::Handled;
                }
                Some(gstreamer::PadProbeData::BufferList(list)) => {
                    *list = list.iter_owned().filter(|buffer| !lost(buffer)).collect();
                }
                _ => {}
            }
            gstreamer::PadProbeReturn::Ok
        });
        let feedback = Arc::clone(&self.feedback);
        self.within("nicesrc").static_pad("src").expect("a way in").add_probe(kinds, move |_, info| {
            // RFC 5761 §4: RTCP by its second byte.
            let bytes = |buffer: &gstreamer::BufferRef| {
                let map = buffer.map_readable().expect("a packet");
                if (192..224).contains(&map[1]) && (128..192).contains(&map[0]) { map.len() } else { 0 }
            };
            let bytes = match &info.data {
                Some(gstreamer::PadProbeData::Buffer(buffer)) => bytes(buffer),
                Some(gstreamer::PadProbeData::BufferList(list)) => list.iter().map(bytes).sum(),
                _ => 0,
            };
            feedback.fetch_add(bytes, Ordering::Relaxed);
            gstreamer::PadProbeReturn::Ok
        });
    }

    /// From now on each fourth packet is against RFC 3550: by turns of another version and with more padding than it has
    /// bytes, both rightly encrypted; and, by somebody on the way, with an extension longer than itself, which no encoder of
    /// SRTP lets out. Returns how many there were.
    fn lie(&self) -> Arc<AtomicUsize> {
        let (spoilt, sent) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        let counted = Arc::clone(&spoilt);
        // RFC 5761 §4: RTP and RTCP by their second byte.
        let turn = |map: &[u8], sent: &AtomicUsize| {
            let nth = if (192..224).contains(&map[1]) { 0 } else { sent.fetch_add(1, Ordering::Relaxed) };
            (nth % 4 == 3).then_some(nth / 4 % 3)
        };
        for pad in self.within("srtpenc").sink_pads() {
            let sent = AtomicUsize::new(0);
            alter(&pad, move |buffer| {
                let mut map = buffer.map_writable().expect("a packet");
                match turn(&map, &sent) {
                    Some(0) => map[0] = map[0] & 0x3f | 0xc0,
                    Some(1) => {
                        map[0] |= 0x20;
                        let last = map.len() - 1;
                        map[last] = 0xff;
                    }
                    _ => {}
                }
            });
        }
        // In the same turns, as each packet comes by here after that.
        alter(&self.within("nicesink").static_pad("sink").expect("a way out"), move |buffer| {
            let mut map = buffer.map_writable().expect("a packet");
            if map[0] < 128 {
                return;
            }
            let turn = turn(&map, &sent);
            counted.fetch_add(usize::from(turn.is_some()), Ordering::Relaxed);
            if turn == Some(2) {
                map[0] |= 0x10;
                map[14..16].fill(0xff);
            }
        });
        spoilt
    }

    /// From now on reports say what Janus would say, a time of arrival here (webrtcbin 1.22 counts RTP time twice in them);
    /// but those of the first signal are [`Misreports::later`] than they should be.
    fn misreport(&self) -> Misreports {
        let lies = Misreports::default();
        let sent = Arc::new(Mutex::new(HashMap::<[u8; 4], (u32, Instant)>::new()));
        for pad in self.within("srtpenc").sink_pads() {
            let (lies, own, sent) = (lies.clone(), Arc::clone(&self.ssrc), Arc::clone(&sent));
            alter(&pad, move |buffer| {
                let mut map = buffer.map_writable().expect("a packet");
                let mut sent = sent.lock().expect("no panic in a probe");
                let four = |at: usize| <[u8; 4]>::try_from(&map[at..at + 4]).expect("four bytes");
                if !(192..224).contains(&map[1]) {
                    sent.insert(four(8), (u32::from_be_bytes(four(4)), Instant::now()));
                    return;
                }
                // RFC 3550 §6.4.1: a sender's report has its SSRC in bytes 4 to 7, then NTP time, then RTP time.
                let ssrc = four(4);
                let Some((rtp, at)) = sent.get(&ssrc).filter(|_| map[1] == 200) else { return };
                let first = ssrc == own.load(Ordering::Relaxed).to_be_bytes();
                let rate = if first { 48 } else { 90 };
                let since = u32::try_from(at.elapsed().as_millis()).expect("a short while") * rate;
                map[16..20].copy_from_slice(&rtp.wrapping_add(since).to_be_bytes());
                if first {
                    let later = lies.later.load(Ordering::Relaxed);
                    let time = u64::from_be_bytes(map[8..16].try_into().expect("eight bytes"));
                    let time = if later == u64::MAX { later } else { time.wrapping_add(later) };
                    map[8..16].copy_from_slice(&time.to_be_bytes());
                    lies.told.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        lies
    }

    /// The first element of this kind within the sender's webrtcbin.
    fn within(&self, factory: &str) -> gstreamer::Element {
        let webrtc = self.webrtc.clone().downcast::<gstreamer::Bin>().expect("a bin");
        webrtc
            .iterate_all_by_element_factory_name(factory)
            .into_iter()
            .flatten()
            .next()
            .expect("a connection's element")
    }

    /// As a server would ask for it that does not pass RTCP on. (Here RTCP cannot: the sender's `rtpfunnel` knows only
    /// the SSRC of its caps.)
    fn make_key_frame(&self) {
        let valve = self.pipeline.by_name("valve0").and_then(|valve| valve.static_pad("src")).expect("a valve");
        valve.send_event(gstreamer_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
    }

    fn hold(&self, hold: bool) {
        self.pipeline.by_name("valve0").expect("a valve").set_property("drop", hold);
    }
}

/// What a sender's reports say of its clock, and how many there were.
#[derive(Clone, Default)]
struct Misreports {
    /// In 2^-32 s, as NTP counts; all ones stand for themselves.
    later: Arc<AtomicU64>,
    told: Arc<AtomicUsize>,
}

/// Has `alter` see and change every packet that passes `pad`.
fn alter(pad: &gstreamer::Pad, alter: impl Fn(&mut gstreamer::BufferRef) + Send + Sync + 'static) {
    let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
    pad.add_probe(kinds, move |_, info| {
        match &mut info.data {
            Some(gstreamer::PadProbeData::Buffer(buffer)) => alter(buffer.make_mut()),
            Some(gstreamer::PadProbeData::BufferList(list)) => {
                let mut whole = gstreamer::BufferList::new();
                for mut buffer in list.iter_owned() {
                    alter(buffer.make_mut());
                    whole.get_mut().expect("a new list").add(buffer);
                }
                *list = whole;
            }
            _ => {}
        }
        gstreamer::PadProbeReturn::Ok
    });
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gstreamer::State::Null);
    }
}

fn description(kind: WebRTCSDPType, text: &str) -> WebRTCSessionDescription {
    WebRTCSessionDescription::new(kind, SDPMessage::parse_buffer(text.as_bytes()).expect("SDP"))
}

/// The offer as a server would send it again: a newer version, another direction, another SSRC.
fn again(offer: &str, version: u32, direction: &str, ssrc: u32) -> String {
    let lines = offer.lines().map(|line| match line {
        "a=sendonly" => format!("a={direction}"),
        origin if origin.starts_with("o=") => {
            let mut words: Vec<&str> = origin.split(' ').collect();
            let newer = version.to_string();
            words[2] = &newer;
            words.join(" ")
        }
        line if line.starts_with("a=ssrc:") => {
            let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
            format!("a=ssrc:{ssrc} {rest}")
        }
        line => line.to_owned(),
    });
    lines.map(|line| line + "\r\n").collect()
}

/// Our peer, connected to a sender, with what it tells.
struct Ours {
    peer: RecvPeer,
    /// Of the first line, as is `mid`.
    frames: Frames,
    outlet: Arc<Outlet>,
    mid: String,
    /// The second line's, where there is one.
    second: Option<(Frames, Arc<Outlet>)>,
    told: Vec<PeerEvent>,
    /// Whether the sender is told of wanted key frames as by a server's own word, and not by RTCP alone.
    serves_key_frames: bool,
}

impl Ours {
    async fn start(codec: Codec) -> Self {
        let time = graph::Timebase::start().expect("GStreamer starts");
        let peer = RecvPeer::start("test", &time).await.expect("a peer");
        let (frames, outlet) = Self::way_out(codec);
        Self { peer, frames, outlet, second: None, mid: String::new(), told: Vec::new(), serves_key_frames: false }
    }

    /// Takes a second signal too.
    fn and(mut self, codec: Codec) -> Self {
        self.second = Some(Self::way_out(codec));
        self
    }

    fn way_out(codec: Codec) -> (Frames, Arc<Outlet>) {
        let outlet = Arc::new(Outlet::new(TrackId("t".into()), codec, mpsc::unbounded_channel().0));
        let frames = Frames::new(codec);
        outlet.route(frames.sink());
        (frames, outlet)
    }

    async fn answer(&mut self, offer: &str) -> String {
        let mids: Vec<_> = offer.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(str::to_owned).collect();
        mids[0].clone_into(&mut self.mid);
        let outlets = std::iter::once(&self.outlet).chain(self.second.as_ref().map(|(_, outlet)| outlet));
        let tracks: HashMap<_, _> = mids.into_iter().zip(outlets.map(Arc::clone)).collect();
        self.peer.answer(offer, &tracks).await.expect("an answer")
    }

    /// Passes candidates both ways and collects events until `enough` says so.
    async fn until(&mut self, sender: &mut Sender, what: &str, enough: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !enough(self) {
            assert!(Instant::now() < until, "no {what}; told so far: {:?}", self.told);
            tokio::select! {
                Some((mline, text)) = sender.candidates.recv() => self.peer.candidate(mline, &text),
                event = self.peer.next() => match event {
                    PeerEvent::Candidate { mline, text } => {
                        sender.webrtc.emit_by_name::<()>("add-ice-candidate", &[&mline, &text]);
                    }
                    event => {
                        if event == (PeerEvent::KeyWanted { mid: self.mid.clone() }) && self.serves_key_frames {
                            sender.make_key_frame();
                        }
                        self.told.push(event);
                    }
                },
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    /// How long after a flash (of the second line) each beep (of the first) begins, in what came after the first `passed`
    /// frames of both. Both come each second, so it is less than one.
    fn apart(&self, passed: [usize; 2]) -> Vec<Duration> {
        let heard = Frames::new(Codec::Opus);
        self.frames.all().split_off(passed[0]).into_iter().for_each(heard.sink());
        let pictures = &self.second.as_ref().expect("a picture").0;
        let from: Duration = gstreamer::ClockTime::from_nseconds(pictures.all()[passed[1]].pts.0).into();
        // A picture is decoded from the first on.
        let flash = *watcher::onsets(&pictures.decode()).last().expect("a flash");
        assert!(flash >= from, "no flash among the last pictures");
        let after = |beep: Duration| (beep + PATIENCE - flash).subsec_nanos();
        watcher::onsets(&heard.decode()).into_iter().map(|beep| Duration::from_nanos(after(beep).into())).collect()
    }

    /// How many frames of each line there are.
    fn counts(&self) -> [usize; 2] {
        [self.frames.len(), self.second.as_ref().map_or(0, |(frames, _)| frames.len())]
    }

    fn keys_wanted(&self) -> usize {
        self.told.iter().filter(|event| matches!(event, PeerEvent::KeyWanted { .. })).count()
    }

    fn flowing(&self) -> Vec<(String, u32)> {
        let flowing = self.told.iter().filter_map(|event| match event {
            PeerEvent::Flowing { mid, ssrc } => Some((mid.clone(), ssrc.expect("an SSRC"))),
            _ => None,
        });
        flowing.collect()
    }
}

/// A bare webrtcbin that takes every pad and trusts everybody.
struct Bare {
    pipeline: gstreamer::Pipeline,
    webrtc: gstreamer::Element,
    candidates: mpsc::UnboundedReceiver<(u32, String)>,
    packets: Arc<Mutex<HashMap<u32, usize>>>,
}

impl Bare {
    fn start() -> Self {
        let pipeline = gstreamer::Pipeline::new();
        let make = |name: &str| gstreamer::ElementFactory::make(name).build().expect("an element");
        let webrtc = make("webrtcbin");
        webrtc.set_property_from_str("bundle-policy", "max-bundle");
        no_upnp(&webrtc);
        pipeline.add(&webrtc).expect("room for webrtcbin");
        let (tell, candidates) = mpsc::unbounded_channel();
        webrtc.connect("on-ice-candidate", false, move |args| {
            let _ = tell.send((args[1].get().expect("a line"), args[2].get().expect("a candidate")));
            None
        });
        let packets = Arc::new(Mutex::new(HashMap::new()));
        let (count, weak) = (Arc::clone(&packets), pipeline.downgrade());
        webrtc.connect_pad_added(move |_, pad| {
            let (Some(pipeline), count) = (weak.upgrade(), Arc::clone(&count)) else { return };
            pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, info| {
                let map = info.buffer().expect("a packet").map_readable().expect("a packet");
                let ssrc = u32::from_be_bytes(map[8..12].try_into().expect("four bytes"));
                *count.lock().expect("no panic in a probe").entry(ssrc).or_default() += 1;
                gstreamer::PadProbeReturn::Ok
            });
            let sink = gstreamer::ElementFactory::make("fakesink").property("async", false).build().expect("a sink");
            pipeline.add(&sink).expect("room for a sink");
            sink.sync_state_with_parent().expect("a sink starts");
            pad.link(&sink.static_pad("sink").expect("a pad")).expect("a link");
        });
        pipeline.set_state(gstreamer::State::Playing).expect("a receiver starts");
        Self { pipeline, webrtc, candidates, packets }
    }

    /// The answer, and what went wrong on the way to it.
    async fn answer(&self, offer: &str) -> (String, Option<String>) {
        let error = |reply: Option<gstreamer::Structure>| {
            reply.and_then(|reply| reply.get::<gstreamer::glib::Error>("error").ok()).map(|error| error.to_string())
        };
        let offer = description(WebRTCSDPType::Offer, offer);
        let remote = promised(|p| self.webrtc.emit_by_name::<()>("set-remote-description", &[&offer, &p])).await;
        let made = promised(|p| {
            self.webrtc.emit_by_name::<()>("create-answer", &[&None::<gstreamer::Structure>, &p]);
        });
        let answer = made.await.expect("an answer").get::<WebRTCSessionDescription>("answer").expect("an answer");
        let local = promised(|p| self.webrtc.emit_by_name::<()>("set-local-description", &[&answer, &p])).await;
        (answer.sdp().as_text().expect("text"), error(remote).or(error(local)))
    }

    async fn run(&mut self, sender: &mut Sender, span: Duration) {
        let both = async {
            loop {
                tokio::select! {
                    Some((mline, text)) = sender.candidates.recv() => {
                        self.webrtc.emit_by_name::<()>("add-ice-candidate", &[&mline, &text]);
                    }
                    Some((mline, text)) = self.candidates.recv() => {
                        sender.webrtc.emit_by_name::<()>("add-ice-candidate", &[&mline, &text]);
                    }
                }
            }
        };
        let _ = timeout(span, both).await;
    }

    fn packets(&self, ssrc: u32) -> usize {
        self.packets.lock().expect("no panic in a probe").get(&ssrc).copied().unwrap_or(0)
    }

    async fn until_packets(&mut self, sender: &mut Sender, ssrc: u32, count: usize) {
        let until = Instant::now() + PATIENCE;
        while self.packets(ssrc) < count {
            assert!(Instant::now() < until, "only {} packets of {ssrc}", self.packets(ssrc));
            self.run(sender, Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gstreamer::State::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_was_inactive_carries_somebody_else() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 20).await;

    sender.hold(true);
    let wire = ours.answer(&again(&offer, 2, "inactive", 1111)).await;
    assert!(wire.contains("a=inactive") && !wire.contains("a=recvonly"), "{wire}");
    sender.ssrc.store(3333, Ordering::Relaxed);
    let wire = ours.answer(&again(&offer, 3, "sendonly", 3333)).await;
    assert!(wire.contains("a=recvonly"), "{wire}");
    sender.hold(false);
    ours.until(&mut sender, "second stream", |ours| ours.flowing().len() > 1).await;
    let before = ours.frames.len();
    ours.until(&mut sender, "frames of the second stream", |ours| ours.frames.len() > before + 50).await;
    let mid = ours.flowing()[0].0.clone();
    assert_eq!(ours.flowing(), [(mid.clone(), 1111), (mid, 3333)]);
    ours.peer.stop().await.expect("a peer stops");
}

/// The trap itself, in 1.22: fixed by 77e01571c8 (1.24). When this fails, munging `inactive` may go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_munging_the_line_stays_dead() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut bare = Bare::start();
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    let (answer, error) = bare.answer(&offer).await;
    assert_eq!(error, None);
    sender.take(&answer).await;
    bare.until_packets(&mut sender, 1111, 20).await;

    sender.hold(true);
    assert_eq!(bare.answer(&again(&offer, 2, "inactive", 1111)).await.1, None);
    sender.ssrc.store(3333, Ordering::Relaxed);
    let error = bare.answer(&again(&offer, 3, "sendonly", 3333)).await.1;
    assert!(error.is_some_and(|why| why.contains("direction")), "webrtcbin can turn a line back on");
    sender.hold(false);
    bare.run(&mut sender, Duration::from_secs(2)).await;
    assert_eq!(bare.packets(3333), 0);
}

fn forged(offer: &str) -> String {
    let lines = offer.lines().map(|line| match line.strip_prefix("a=fingerprint:sha-256 ") {
        Some(digest) => format!("a=fingerprint:sha-256 {}\r\n", ["AA"; 32].join(":").replace("AA:AA", &digest[..5])),
        None => format!("{line}\r\n"),
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_certificate_gets_nothing_through() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = forged(&sender.offer().await);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "alarm", |ours| ours.told.contains(&PeerEvent::Forged)).await;
    let passed = timeout(Duration::from_secs(1), ours.until(&mut sender, "", |ours| ours.frames.len() > 0)).await;
    assert!(passed.is_err() && ours.flowing().is_empty(), "media of an impostor was passed on");
    ours.peer.stop().await.expect("a peer stops");
}

/// The hole itself, fixed by 30eba41add (1.28.5). When this fails, webrtcbin checks by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_gate_a_forged_certificate_passes() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut bare = Bare::start();
    let (answer, error) = bare.answer(&forged(&sender.offer().await)).await;
    assert_eq!(error, None);
    sender.take(&answer).await;
    bare.until_packets(&mut sender, 1111, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ssrc_takes_over_the_track_from_a_key_frame_on() {
    let mut sender = Sender::start(&[Signal::Vp8(0x00c8_1e1e)]);
    let mut ours = Ours::start(Codec::Vp8).await;
    ours.serves_key_frames = true;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 15).await;
    sender.ssrc.store(3333, Ordering::Relaxed);
    ours.until(&mut sender, "second stream", |ours| ours.flowing().len() > 1).await;
    let before = ours.frames.len();
    ours.until(&mut sender, "frames of the second stream", |ours| ours.frames.len() > before + 15).await;
    let mid = ours.flowing()[0].0.clone();
    assert_eq!(ours.flowing(), [(mid.clone(), 1111), (mid, 3333)]);
    let frames = ours.frames.all();
    assert!(frames[0].keyframe);
    let key_frames = frames.iter().filter(|frame| frame.keyframe).count();
    assert!(key_frames >= 2, "the second stream began in the middle");
    // The decoder is the judge: no frame of either stream lacks what it builds on.
    let red = ours.frames.decode().iter().filter(|seen| watcher::looks(seen, 0x00c8_1e1e)).count();
    assert!(red * 10 > frames.len() * 7, "{red} of {} frames are red", frames.len());
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_route_gets_its_key_frame_by_rtcp() {
    let mut sender = Sender::start(&[Signal::H264(0x001e_1ec8)]);
    let mut ours = Ours::start(Codec::H264).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 5).await;
    ours.outlet.unroute();
    // What was asked for until now may still be on its way to us.
    let _ = timeout(Duration::from_secs(1), ours.until(&mut sender, "", |_| false)).await;
    ours.told.clear();
    sender.watch_network();
    sender.loses.store(4, Ordering::Relaxed);
    let _ = timeout(Duration::from_millis(2500), ours.until(&mut sender, "", |_| false)).await;
    assert_eq!(ours.keys_wanted(), 0, "key frames for nobody");
    sender.loses.store(0, Ordering::Relaxed);
    let late = Frames::new(Codec::H264);
    ours.outlet.route(late.sink());
    ours.until(&mut sender, "frames of the late route", |_| late.len() > 5).await;
    assert!(late.all()[0].keyframe);
    assert!(late.decode().iter().any(|seen| watcher::looks(seen, 0x001e_1ec8)));

    ours.told.clear();
    let began = Instant::now();
    for _ in 0..50 {
        ours.outlet.route(late.sink());
        let _ = timeout(Duration::from_millis(30), ours.until(&mut sender, "", |_| false)).await;
    }
    let most = usize::try_from(began.elapsed().as_secs()).expect("a few") + 1;
    assert!((1..=most).contains(&ours.keys_wanted()), "{} key frames in {most} s", ours.keys_wanted());
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameter_sets_that_nobody_took_are_there_for_the_late_route() {
    let mut sender = Sender::start(&[Signal::H264Once(0x001e_1ec8)]);
    let mut ours = Ours::start(Codec::H264).await;
    ours.outlet.unroute();
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    // A server does not pass on what a publisher's offer says about its codec.
    let (before, sets) = offer.split_once(";sprop-parameter-sets=").expect("GStreamer's offers have them");
    let offer = format!("{before}{}", sets.trim_start_matches(|c: char| !";\r".contains(c)));
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "media", |ours| !ours.flowing().is_empty()).await;
    let _ = timeout(Duration::from_secs(1), ours.until(&mut sender, "", |_| false)).await;
    let late = Frames::new(Codec::H264);
    ours.outlet.route(late.sink());
    ours.until(&mut sender, "frames of the late route", |_| late.len() > 5).await;
    assert!(late.all()[0].keyframe);
    assert!(late.decode().iter().any(|seen| watcher::looks(seen, 0x001e_1ec8)));
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_on_the_way_is_sent_again() {
    let mut sender = Sender::start(&[Signal::Vp8(0x00c8_1e1e)]);
    sender.sends_again();
    let mut ours = Ours::start(Codec::Vp8).await;
    let offer = sender.offer().await;
    assert!(offer.contains("rtx/90000"), "{offer}");
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 15).await;
    sender.watch_network();
    sender.loses.store(4, Ordering::Relaxed);
    let before = ours.frames.len();
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > before + 75).await;
    let bytes = sender.feedback.load(Ordering::Relaxed);
    let frames = ours.frames.all().split_off(before);
    let seconds = frames[frames.len() - 1].pts.since(frames[0].pts).as_secs_f64();
    let per_second = |count: usize| f64::from(u32::try_from(count).expect("a small number")) / seconds;
    // 15 are sent. Each gap that stays costs all frames up to the next key frame.
    let rate = per_second(frames.len() - 1);
    assert!(rate > 11.0, "{rate} frames per second, with each fourth packet sent again; told: {:?}", ours.told);
    assert!(per_second(bytes * 8) < 8_000.0, "{bytes} bytes of RTCP in {seconds} s");
    ours.peer.stop().await.expect("a peer stops");
}

fn longest_step(frames: &[media::Frame]) -> Duration {
    let steps = frames.windows(2).map(|pair| pair[1].pts.since(pair[0].pts).max(pair[0].pts.since(pair[1].pts)));
    steps.max().expect("frames")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_are_against_the_rules_are_dropped_and_counted_and_the_rest_goes_on() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 25).await;
    assert_eq!(ours.peer.refused(), 0, "a packet that is in order was refused");
    let packets = sender.lie();
    let before = ours.frames.len();
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > before + 200).await;
    sender.hold(true);
    let _ = timeout(Duration::from_secs(1), ours.until(&mut sender, "", |_| false)).await;
    let spoilt = packets.load(Ordering::Relaxed);
    assert!(spoilt > 40, "only {spoilt} packets were spoilt");
    assert_eq!(ours.peer.refused(), spoilt as u64);
    assert!(!ours.told.iter().any(|event| matches!(event, PeerEvent::Broke(_))), "{:?}", ours.told);
    let after = ours.frames.all().split_off(before);
    let step = longest_step(&after);
    assert!(step < Duration::from_secs(1), "a step of {step:?}");
    // Three of four are whole; none of the others is passed on, nor costs a whole one.
    let whole = spoilt * 3;
    assert!((whole * 9 / 10..=whole * 11 / 10).contains(&after.len()), "{} frames, {spoilt} spoilt", after.len());
    ours.peer.stop().await.expect("a peer stops");
}

/// Sound and picture of one sender, sound first, connected and reported on.
async fn both() -> (Sender, Ours, Misreports) {
    // What is made before there is a connection would come at once after it, which no server does.
    let mut sender = Sender::begin(&[Signal::Opus, Signal::Vp8(0x00c8_1e1e)], true);
    let mut ours = Ours::start(Codec::Opus).await.and(Codec::Vp8);
    let offer = sender.offer().await;
    sender.take(&ours.answer(&offer).await).await;
    let webrtc = sender.webrtc.clone();
    let state = move || webrtc.property::<WebRTCPeerConnectionState>("connection-state");
    ours.until(&mut sender, "connection", |_| state() == WebRTCPeerConnectionState::Connected).await;
    let reports = sender.misreport();
    sender.mute.store(false, Ordering::Relaxed);
    ours.until(&mut sender, "sound and picture", |ours| ours.counts().iter().all(|count| *count > 15)).await;
    ours.until(&mut sender, "two reports", |_| reports.told.load(Ordering::Relaxed) > 1).await;
    (sender, ours, reports)
}

/// How far sound and picture are apart in the next three seconds.
async fn apart(sender: &mut Sender, ours: &mut Ours) -> Vec<Duration> {
    let before = ours.counts();
    ours.until(sender, "frames", |ours| ours.counts()[0] > before[0] + 150 && ours.counts()[1] > before[1] + 40).await;
    let apart = ours.apart(before);
    assert!(apart.len() >= 2, "only {} beeps", apart.len());
    apart
}

/// How far apart two moments of a second that comes again and again are.
fn between(one: Duration, other: Duration) -> Duration {
    one.abs_diff(other).min(Duration::from_secs(1) - one.abs_diff(other))
}

/// Sound and picture are together when they are as they were, give or take this.
const TOGETHER: Duration = Duration::from_millis(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_from_another_century_does_not_part_sound_from_picture() {
    let (mut sender, mut ours, reports) = both().await;
    let second = 1_u64 << 32;
    let began = apart(&mut sender, &mut ours).await[0];
    // A step of a picture, one of sound, and what an encoder looks ahead.
    assert!(between(began, Duration::ZERO) < Duration::from_millis(67 + 20 + 20), "{began:?}");
    // What is believed comes last, and shows that reports are read at all.
    let believed = 12 * second / 5;
    for later in [0, 60 * second + believed, u64::MAX, believed] {
        reports.later.store(later, Ordering::Relaxed);
        let told = reports.told.load(Ordering::Relaxed);
        ours.until(&mut sender, "a report", |_| reports.told.load(Ordering::Relaxed) > told).await;
        // What was in the jitter buffer may still come as it was.
        let _ = timeout(Duration::from_millis(500), ours.until(&mut sender, "", |_| false)).await;
        let apart: Vec<_> =
            apart(&mut sender, &mut ours).await.into_iter().map(|apart| between(apart, began)).collect();
        let wanted = if later == believed { Duration::from_millis(400) } else { Duration::ZERO };
        assert!(apart.iter().all(|apart| apart.abs_diff(wanted) < TOGETHER), "{later:#x} later: {apart:?}");
    }
    assert!(!ours.told.iter().any(|event| matches!(event, PeerEvent::Broke(_))), "{:?}", ours.told);
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_rtp_time_does_not_part_sound_from_picture() {
    let (mut sender, mut ours, reports) = both().await;
    let began = apart(&mut sender, &mut ours).await[0];
    sender.time_shift.store(1 << 31, Ordering::Relaxed);
    let _ = timeout(Duration::from_millis(500), ours.until(&mut sender, "", |_| false)).await;
    let jumped = apart(&mut sender, &mut ours).await;
    let told = reports.told.load(Ordering::Relaxed);
    ours.until(&mut sender, "a report", |_| reports.told.load(Ordering::Relaxed) > told).await;
    let _ = timeout(Duration::from_millis(500), ours.until(&mut sender, "", |_| false)).await;
    let reported = apart(&mut sender, &mut ours).await;
    let together = |apart: &Duration| between(*apart, began) < TOGETHER;
    assert!(jumped.iter().chain(&reported).all(together), "{began:?}; after the jump {jumped:?}, then {reported:?}");
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_begin_anew_lose_nothing() {
    let mut sender = Sender::start(&[Signal::Opus]);
    // Eight seconds before the end of the numbers.
    sender.number.store(65_136, Ordering::Relaxed);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 5).await;
    let number = Arc::clone(&sender.number);
    assert!(number.load(Ordering::Relaxed) < 65_500, "the connection took too long to see it");
    ours.until(&mut sender, "new numbers", |_| number.load(Ordering::Relaxed) > 65_600).await;
    let before = ours.frames.len();
    ours.until(&mut sender, "frames after them", |ours| ours.frames.len() > before + 50).await;
    let step = longest_step(&ours.frames.all());
    assert!(step < Duration::from_millis(200), "a step of {step:?}");
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_rtp_time_leaves_no_hole_of_hours() {
    let mut sender = Sender::start(&[Signal::Opus]);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 25).await;
    sender.time_shift.store(1 << 31, Ordering::Relaxed);
    let before = ours.frames.len();
    ours.until(&mut sender, "frames after the jump", |ours| ours.frames.len() > before + 100).await;
    let step = longest_step(&ours.frames.all());
    assert!(step < Duration::from_secs(1), "a step of {step:?}");
    ours.peer.stop().await.expect("a peer stops");
}

//! webrtcbin's traps, each with our way around it and without: the second half tells when a later GStreamer no longer
//! needs it. Two webrtcbins in one process; a sender whose RTP can be altered on its way out.

#![allow(clippy::expect_used, reason = "a test says what it missed")]

mod guest;
mod watcher;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{WebRTCSDPType, WebRTCSessionDescription};
use guest::{Signal, no_upnp, promised, sender};
use media::{Codec, TrackId};
use meeting::Outlet;
use meeting::peer::{PeerEvent, RecvPeer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use watcher::Frames;

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends one signal, with what the wire shall see of its SSRC and RTP time.
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
}

impl Sender {
    fn start(signal: Signal) -> Self {
        gstreamer::init().expect("GStreamer starts");
        let (pipeline, webrtc) = sender(&[signal]);
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
        let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
        let last = webrtc.static_pad("sink_0").and_then(|pad| pad.peer()).expect("a linked sender");
        last.add_probe(kinds, move |_, info| {
            match &mut info.data {
                Some(gstreamer::PadProbeData::Buffer(buffer)) => rewrite(buffer.make_mut()),
                Some(gstreamer::PadProbeData::BufferList(list)) => {
                    let mut whole = gstreamer::BufferList::new();
                    for buffer in list.iter_owned() {
                        let mut buffer = buffer;
                        rewrite(buffer.make_mut());
                        whole.get_mut().expect("a new list").add(buffer);
                    }
                    *list = whole;
                }
                _ => {}
            }
            gstreamer::PadProbeReturn::Ok
        });
        pipeline.set_state(gstreamer::State::Playing).expect("a sender starts");
        let (loses, feedback) = Default::default();
        Self { pipeline, webrtc, candidates, ssrc, time_shift, number, loses, feedback }
    }

    async fn offer(&self) -> String {
        let pad = self.webrtc.static_pad("sink_0").expect("a line");
        let until = Instant::now() + PATIENCE;
        while pad.current_caps().is_none() {
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
        let webrtc = self.webrtc.clone().downcast::<gstreamer::Bin>().expect("a bin");
        let pad = |factory, pad| {
            let end = webrtc.iterate_all_by_element_factory_name(factory).into_iter().flatten().next();
            end.and_then(|end| end.static_pad(pad)).expect("an end of the connection")
        };
        let (every, sent) = (Arc::clone(&self.loses), AtomicUsize::new(0));
        // RFC 3550 §5.1: the payload type is in the second byte, and never encrypted. What is sent again has another.
        let lost = move |buffer: &gstreamer::BufferRef| {
            let map = buffer.map_readable().expect("a packet");
            let every = every.load(Ordering::Relaxed);
            every > 0 && matches!(map[1] & 0x7f, 96 | 102) && sent.fetch_add(1, Ordering::Relaxed) % every == every - 1
        };
        let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
        pad("nicesink", "sink").add_probe(kinds, move |_, info| {
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
        pad("nicesrc", "src").add_probe(kinds, move |_, info| {
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

    /// From now on each fourth packet is against RFC 3550, though rightly encrypted: by turns of another version, and with
    /// more padding than it has bytes. Reports speak of another century. Returns how many packets and reports it were.
    fn lie(&self) -> [Arc<AtomicUsize>; 2] {
        let webrtc = self.webrtc.clone().downcast::<gstreamer::Bin>().expect("a bin");
        let encrypts = webrtc.iterate_all_by_element_factory_name("srtpenc").into_iter().flatten().next();
        let encrypts = encrypts.expect("an encoder of SRTP");
        let counts: [Arc<AtomicUsize>; 2] = Default::default();
        for pad in encrypts.sink_pads() {
            let (sent, counts) = (AtomicUsize::new(0), counts.clone());
            let spoil = move |buffer: &mut gstreamer::BufferRef| {
                let mut map = buffer.map_writable().expect("a packet");
                // RFC 5761 §4: a sender's report.
                if map[1] == 200 {
                    map[8..16].copy_from_slice(&[0xff; 8]);
                    counts[1].fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let nth = sent.fetch_add(1, Ordering::Relaxed);
                if nth % 4 == 3 && !(192..224).contains(&map[1]) {
                    counts[0].fetch_add(1, Ordering::Relaxed);
                    if nth % 8 == 3 {
                        map[0] = map[0] & 0x3f | 0xc0;
                    } else {
                        map[0] |= 0x20;
                        let last = map.len() - 1;
                        map[last] = 0xff;
                    }
                }
            };
            let kinds = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
            pad.add_probe(kinds, move |_, info| {
                match &mut info.data {
                    Some(gstreamer::PadProbeData::Buffer(buffer)) => spoil(buffer.make_mut()),
                    Some(gstreamer::PadProbeData::BufferList(list)) => {
                        let mut whole = gstreamer::BufferList::new();
                        for mut buffer in list.iter_owned() {
                            spoil(buffer.make_mut());
                            whole.get_mut().expect("a new list").add(buffer);
                        }
                        *list = whole;
                    }
                    _ => {}
                }
                gstreamer::PadProbeReturn::Ok
            });
        }
        counts
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
    frames: Frames,
    outlet: Arc<Outlet>,
    mid: String,
    told: Vec<PeerEvent>,
    /// Whether the sender is told of wanted key frames as by a server's own word, and not by RTCP alone.
    serves_key_frames: bool,
}

impl Ours {
    async fn start(codec: Codec) -> Self {
        let time = graph::Timebase::start().expect("GStreamer starts");
        let peer = RecvPeer::start("test", &time).await.expect("a peer");
        let outlet = Arc::new(Outlet::new(TrackId("t".into()), codec, mpsc::unbounded_channel().0));
        let frames = Frames::new(codec);
        outlet.route(frames.sink());
        Self { peer, frames, outlet, mid: String::new(), told: Vec::new(), serves_key_frames: false }
    }

    async fn answer(&mut self, offer: &str) -> String {
        offer.lines().find_map(|line| line.strip_prefix("a=mid:")).expect("a mid").clone_into(&mut self.mid);
        let tracks = HashMap::from([(self.mid.clone(), Arc::clone(&self.outlet))]);
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
    let mut sender = Sender::start(Signal::Opus);
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
    let mut sender = Sender::start(Signal::Opus);
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
    let mut sender = Sender::start(Signal::Opus);
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
    let mut sender = Sender::start(Signal::Opus);
    let mut bare = Bare::start();
    let (answer, error) = bare.answer(&forged(&sender.offer().await)).await;
    assert_eq!(error, None);
    sender.take(&answer).await;
    bare.until_packets(&mut sender, 1111, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ssrc_takes_over_the_track_from_a_key_frame_on() {
    let mut sender = Sender::start(Signal::Vp8(0x00c8_1e1e));
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
    let mut sender = Sender::start(Signal::H264(0x001e_1ec8));
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
    let mut sender = Sender::start(Signal::H264Once(0x001e_1ec8));
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
    let mut sender = Sender::start(Signal::Vp8(0x00c8_1e1e));
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
async fn packets_and_reports_that_are_against_the_rules_are_dropped_and_the_rest_goes_on() {
    let mut sender = Sender::start(Signal::Opus);
    let mut ours = Ours::start(Codec::Opus).await;
    let offer = again(&sender.offer().await, 1, "sendonly", 1111);
    sender.take(&ours.answer(&offer).await).await;
    ours.until(&mut sender, "frames", |ours| ours.frames.len() > 25).await;
    let [packets, reports] = sender.lie();
    let before = ours.frames.len();
    // Reports come each five seconds or so.
    ours.until(&mut sender, "frames and a report", |ours| {
        ours.frames.len() > before + 150 && reports.load(Ordering::Relaxed) > 0
    })
    .await;
    let _ = timeout(Duration::from_secs(1), ours.until(&mut sender, "", |_| false)).await;
    let spoilt = packets.load(Ordering::Relaxed);
    assert!(spoilt > 40, "only {spoilt} packets were spoilt");
    assert!(!ours.told.iter().any(|event| matches!(event, PeerEvent::Broke(_))), "{:?}", ours.told);
    let after = ours.frames.all().split_off(before);
    let step = longest_step(&after);
    assert!(step < Duration::from_secs(1), "a step of {step:?}");
    // Three of four are whole; none of the others is passed on, nor costs a whole one.
    let whole = spoilt * 3;
    assert!((whole * 9 / 10..=whole * 11 / 10).contains(&after.len()), "{} frames, {spoilt} spoilt", after.len());
    ours.peer.stop().await.expect("a peer stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_begin_anew_lose_nothing() {
    let mut sender = Sender::start(Signal::Opus);
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
    let mut sender = Sender::start(Signal::Opus);
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

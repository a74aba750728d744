//! Receives media from one sender over WebRTC: an offer in, an answer out, then encoded frames into outlets.
//! Knows no platform: whoever signals passes offers and candidates through and says which line carries which track.
//!
//! # Design
//! webrtcbin of GStreamer 1.22 is used with four guards, each with its test in `tests/webrtcbin.rs`:
//! * Offers are rewritten ([`sdp`]), because it cannot take up a line that was inactive, nor a shared fingerprint.
//! * It does not compare the certificate of DTLS with the offer's fingerprint (fixed in 1.28.5, commit 30eba41add): a
//!   pad is linked only after [`Fingerprint::is_of`](fingerprint::Fingerprint::is_of) has said yes.
//! * A changed SSRC makes a second pad beside the first. Pads are bound by the line's mid, and the newest one is it.
//! * Its answer to an ICE restart keeps old credentials: a broken peer is replaced, never repaired.
//!
//! No STUN or TURN server is ever asked: an SFU has addresses of its own, and a recorder that asks strangers for its
//! own tells them about the meeting. No router is asked by UPnP either. Media comes by UDP alone: the process that decodes
//! it may neither listen for TCP nor connect to more than the meeting's server.
//!
//! A frame's time is when its packet arrived, smoothed by RTP time. A sender's reports (NTP) only move its streams against
//! each other, and by no more than three seconds.

mod branch;
pub mod fingerprint;
mod rules;
pub mod sdp;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{
    WebRTCBundlePolicy, WebRTCICEConnectionState, WebRTCICEGatheringState, WebRTCRTPTransceiver, WebRTCSDPType,
    WebRTCSessionDescription,
};
use media::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::branch::Receiver;
use self::fingerprint::Fingerprint;
use self::rules::Refused;
use self::sdp::{Offer, SdpError};
use crate::outlet::{Outlet, ask_for_key};

/// How long packets wait for stragglers and retransmissions. A recorder has nobody who waits for it, so twice
/// webrtcbin's own 200 ms.
const JITTER: u32 = 400;

/// Bits per second that RTCP may take of a connection (RFC 3556). rtpbin guesses 3.2 kbit/s, enough for one early packet
/// each half second (RFC 4585 §3.5.2): too late for [`JITTER`], and for Janus, which keeps packets for 200 ms. This is one
/// each 50 ms while packets are missing. Without loss it changes nothing: regular packets stay five seconds apart.
const FEEDBACK: f64 = 32_000.0;

/// What a sender's reports say of its streams is believed up to here. rtpbin would take the same today; a report that is
/// farther off comes from a broken clock or a liar, and no delay on the way is that long.
const FARTHEST_APART: Duration = Duration::from_secs(3);

/// How long webrtcbin may take to think about a description.
const THINKING: Duration = Duration::from_secs(10);

/// How long a pipeline may take to start or stop.
const STATE: Duration = Duration::from_secs(10);

/// Longest candidate that is passed on; real ones are shorter than 200 bytes.
const LONGEST_CANDIDATE: usize = 1024;

/// A peer cannot be built, or cannot take a description.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("GStreamer has no {0}; install the package that has it")]
    Missing(&'static str),
    #[error("GStreamer did not let us {0}")]
    Graph(&'static str),
    #[error("the offer cannot be used")]
    Offer(#[from] SdpError),
    #[error("webrtcbin refused to {what}: {why}")]
    Refused { what: &'static str, why: String },
    #[error("the receiving pipeline did not change its state")]
    State(#[from] graph::StateError),
}

/// What a peer reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// One of our addresses, for the other side.
    Candidate { mline: u32, text: String },
    /// There are no more of our addresses.
    Gathered,
    /// Media of this line (by mid) begins, or begins anew with another SSRC.
    Flowing { mid: String, ssrc: Option<u32> },
    /// A key frame of this line is wanted; at most once a second. An RTCP PLI is on its way already: this is for
    /// servers that overlook it.
    KeyWanted { mid: String },
    /// The sender's certificate is not the promised one: somebody else is sending. Nothing of it was passed on.
    Forged,
    /// This peer is of no more use.
    Broke(String),
}

/// One peer connection, receiving only.
#[derive(Debug)]
pub struct RecvPeer {
    pipeline: graph::Pipeline,
    bus: graph::Events,
    webrtc: gstreamer::Element,
    shared: Arc<Shared>,
    signals: mpsc::UnboundedReceiver<PeerEvent>,
    refused: Refused,
}

/// What the threads of GStreamer and the owner both see.
#[derive(Debug)]
struct Shared {
    lines: Mutex<HashMap<String, Line>>,
    branches: AtomicU64,
    tell: mpsc::UnboundedSender<PeerEvent>,
}

/// An m-line, as the newest offer has it.
#[derive(Debug, Default)]
struct Line {
    fingerprints: Vec<Fingerprint>,
    outlet: Option<Arc<Outlet>>,
    /// The newest pad.
    pad: glib::WeakRef<gstreamer::Pad>,
    /// The branch whose frames count: that of the newest SSRC.
    branch: u64,
}

/// One branch's view: which line it belongs to and whether it still is the newest.
struct Carrier {
    shared: Arc<Shared>,
    mid: String,
    number: u64,
    codec: media::Codec,
}

/// The elements that receiving needs and this machine has not, with the packages that have them.
#[must_use]
pub fn missing() -> Vec<(&'static str, &'static str)> {
    graph::missing(branch::ELEMENTS)
}

impl RecvPeer {
    /// A peer that waits for its first offer. `name` appears in logs: no person's name.
    ///
    /// # Errors
    /// When an element is missing or the pipeline does not start.
    pub async fn start(name: &str, time: &graph::Timebase) -> Result<Self, PeerError> {
        let (pipeline, bus) = graph::Pipeline::new(name, time);
        let webrtc = branch::make("webrtcbin")?;
        webrtc.set_property("bundle-policy", WebRTCBundlePolicy::MaxBundle);
        webrtc.set_property("latency", JITTER);
        keep_quiet(&webrtc);
        let refused = Refused::default();
        refused.watch(&webrtc);
        pipeline.gst().add(&webrtc).map_err(|_| PeerError::Graph("add webrtcbin"))?;
        let (tell, signals) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { lines: Mutex::default(), branches: AtomicU64::new(0), tell });
        shared.listen(&webrtc, pipeline.gst());
        let pipeline = tokio::task::spawn_blocking(move || pipeline.play(STATE).map(|()| pipeline))
            .await
            .map_err(|_| PeerError::Graph("start a thread"))??;
        Ok(Self { pipeline, bus, webrtc, shared, signals, refused })
    }

    /// Takes an offer, the first or a later one, and returns the answer for the wire. `tracks` says which outlet each
    /// line (by mid) feeds from now on; lines without one are received and dropped.
    ///
    /// # Errors
    /// When the offer is unusable or webrtcbin refuses it; then this peer should be replaced.
    pub async fn answer(&self, offer: &str, tracks: &HashMap<String, Arc<Outlet>>) -> Result<String, PeerError> {
        let offer = Offer::munge(offer)?;
        self.shared.bind(&offer, tracks);
        self.describe("set-remote-description", WebRTCSDPType::Offer, offer.text()).await?;
        let reply = self
            .ask("create-answer", |promise| {
                self.webrtc.emit_by_name::<()>("create-answer", &[&None::<gstreamer::Structure>, &promise]);
            })
            .await?;
        let answer = reply
            .and_then(|reply| reply.get::<WebRTCSessionDescription>("answer").ok())
            .and_then(|answer| answer.sdp().as_text().ok())
            .ok_or_else(|| refused("create-answer", "it gave no answer"))?;
        self.describe("set-local-description", WebRTCSDPType::Answer, &answer).await?;
        self.set_up_rtp();
        Ok(offer.restore(&answer)?)
    }

    /// Says anew which outlet each line feeds, without a new offer.
    pub fn rebind(&self, tracks: &HashMap<String, Arc<Outlet>>) {
        for (mid, line) in self.shared.lines().iter_mut() {
            line.feed(tracks.get(mid));
        }
    }

    /// An address of the other side. Names of multicast DNS and nonsense are passed over.
    pub fn candidate(&self, mline: u32, text: &str) {
        let sane = text.len() <= LONGEST_CANDIDATE && !text.contains(char::is_control);
        if !text.is_empty() && sane && !sdp::is_mdns(text) {
            self.webrtc.emit_by_name::<()>("add-ice-candidate", &[&mline, &text]);
        }
    }

    /// The next thing that happens. Cancel-safe.
    pub async fn next(&mut self) -> PeerEvent {
        loop {
            tokio::select! {
                // The peer holds a sender of its own, so this never ends.
                Some(event) = self.signals.recv() => return event,
                event = self.bus.recv() => match event {
                    Some(graph::Event::Error { what, .. }) => return PeerEvent::Broke(what),
                    Some(graph::Event::Eos) => return PeerEvent::Broke("the stream ended".into()),
                    Some(graph::Event::Latency) => self.pipeline.spread_latency(),
                    Some(graph::Event::State(_)) => {}
                    None => return PeerEvent::Broke("the pipeline is gone".into()),
                },
            }
        }
    }

    /// Takes the whole pipeline down on a thread of its own, within 10 s.
    ///
    /// # Errors
    /// When it hangs: what is left of it is leaked.
    pub async fn stop(self) -> Result<(), PeerError> {
        self.shared.lines().clear();
        let packets = self.refused();
        if packets > 0 {
            tracing::warn!(peer = %self.pipeline.gst().name(), packets, "packets against RFC 3550 were dropped");
        }
        Ok(self.pipeline.stop(STATE).await?)
    }

    /// How many packets have been dropped because their version, their extension or their padding is against RFC 3550.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.count()
    }

    /// Lets requests for lost packets out at once, and sets how far reports are believed.
    fn set_up_rtp(&self) {
        let Some(bin) = self.webrtc.downcast_ref::<gstreamer::Bin>() else { return };
        for rtpbin in bin.iterate_all_by_element_factory_name("rtpbin").into_iter().flatten() {
            rtpbin.set_property("max-ts-offset", i64::try_from(FARTHEST_APART.as_nanos()).unwrap_or(i64::MAX));
            // One session: every line is bundled into it.
            if let Some(session) = rtpbin.emit_by_name::<Option<glib::Object>>("get-internal-session", &[&0_u32]) {
                session.set_property("rtcp-fraction", FEEDBACK);
            }
        }
    }

    async fn describe(&self, verb: &'static str, kind: WebRTCSDPType, text: &str) -> Result<(), PeerError> {
        let message = SDPMessage::parse_buffer(text.as_bytes()).map_err(|_| refused(verb, "it cannot be read"))?;
        let description = WebRTCSessionDescription::new(kind, message);
        self.ask(verb, |promise| self.webrtc.emit_by_name::<()>(verb, &[&description, &promise])).await?;
        Ok(())
    }

    /// Runs one of webrtcbin's actions and waits for its reply; never from one of its own threads.
    async fn ask(
        &self,
        what: &'static str,
        emit: impl FnOnce(gstreamer::Promise),
    ) -> Result<Option<gstreamer::Structure>, PeerError> {
        let (done, wait) = oneshot::channel();
        emit(gstreamer::Promise::with_change_func(move |reply| {
            let reply = reply.map(|reply| reply.map(gstreamer::StructureRef::to_owned));
            // Nobody waits any longer.
            let _ = done.send(reply.map_err(|error| format!("{error:?}")));
        }));
        let reply = match timeout(THINKING, wait).await {
            Ok(Ok(reply)) => reply.map_err(|why| PeerError::Refused { what, why })?,
            Ok(Err(_)) => return Err(refused(what, "it forgot its promise")),
            Err(_) => return Err(refused(what, "it took too long")),
        };
        match reply.as_ref().and_then(|reply| reply.get::<glib::Error>("error").ok()) {
            Some(error) => Err(PeerError::Refused { what, why: error.to_string() }),
            None => Ok(reply),
        }
    }
}

/// libnice asks the network for UPnP routers, and waits for media by TCP, unless told not to.
fn keep_quiet(webrtc: &gstreamer::Element) {
    let ice = webrtc.property::<Option<glib::Object>>("ice-agent");
    // A later webrtcbin may bring an agent of its own kind.
    let agent =
        ice.filter(|ice| ice.has_property("agent")).and_then(|ice| ice.property::<Option<glib::Object>>("agent"));
    let Some(agent) = agent else { return };
    for unwanted in ["upnp", "ice-tcp"] {
        if agent.has_property(unwanted) {
            agent.set_property(unwanted, false);
        }
    }
}

fn refused(what: &'static str, why: &str) -> PeerError {
    PeerError::Refused { what, why: why.to_owned() }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: PeerEvent) {
        // The owner is gone, and the pipeline goes with it.
        let _ = self.tell.send(event);
    }

    fn bind(&self, offer: &Offer, tracks: &HashMap<String, Arc<Outlet>>) {
        let mut lines = self.lines();
        for medium in offer.media() {
            let line = lines.entry(medium.mid.clone()).or_default();
            line.fingerprints.clone_from(&medium.fingerprints);
            line.feed(tracks.get(&medium.mid));
        }
    }

    fn listen(self: &Arc<Self>, webrtc: &gstreamer::Element, pipeline: &gstreamer::Pipeline) {
        let shared = Arc::clone(self);
        webrtc.connect("on-new-transceiver", false, move |args| {
            if let Some(transceiver) = args.get(1).and_then(|arg| arg.get::<WebRTCRTPTransceiver>().ok()) {
                // Off by default. Forward error correction has given more trouble than it mended.
                transceiver.set_property("do-nack", true);
                transceiver.set_property_from_str("fec-type", "none");
            }
            None
        });
        webrtc.connect("on-ice-candidate", false, move |args| {
            let mline = args.get(1).and_then(|arg| arg.get::<u32>().ok());
            let text = args.get(2).and_then(|arg| arg.get::<String>().ok());
            if let (Some(mline), Some(text)) = (mline, text) {
                shared.tell(PeerEvent::Candidate { mline, text });
            }
            None
        });
        let shared = Arc::clone(self);
        webrtc.connect_notify(Some("ice-gathering-state"), move |webrtc, _| {
            if webrtc.property::<WebRTCICEGatheringState>("ice-gathering-state") == WebRTCICEGatheringState::Complete {
                shared.tell(PeerEvent::Gathered);
            }
        });
        let shared = Arc::clone(self);
        webrtc.connect_notify(Some("ice-connection-state"), move |webrtc, _| {
            if webrtc.property::<WebRTCICEConnectionState>("ice-connection-state") == WebRTCICEConnectionState::Failed {
                shared.tell(PeerEvent::Broke("no path to the sender (ICE failed)".into()));
            }
        });
        let shared = Arc::clone(self);
        let pipeline = pipeline.downgrade();
        webrtc.connect_pad_added(move |_, pad| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            if pad.direction() == gstreamer::PadDirection::Src
                && let Err(error) = shared.pad_added(&pipeline, pad)
            {
                shared.tell(PeerEvent::Broke(error.to_string()));
            }
        });
    }

    /// The gate: on a streaming thread, before anything of the new pad can pass.
    fn pad_added(self: &Arc<Self>, pipeline: &gstreamer::Pipeline, pad: &gstreamer::Pad) -> Result<(), PeerError> {
        let transceiver = pad.property::<Option<WebRTCRTPTransceiver>>("transceiver");
        let mid = transceiver.as_ref().and_then(|transceiver| transceiver.property::<Option<String>>("mid"));
        let certificate = transceiver.as_ref().and_then(remote_certificate);
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let rtp = caps.structure(0);
        let codec = rtp.and_then(|rtp| sdp::codec_named(rtp.get("encoding-name").ok()?));
        let ssrc = rtp.and_then(|rtp| rtp.get::<u32>("ssrc").ok());
        let (number, mid, outlet) = {
            let mut lines = self.lines();
            let Some((mid, line)) = mid.and_then(|mid| lines.get_mut(&mid).map(|line| (mid, line))) else {
                drop(lines);
                return branch::discard(pipeline, pad);
            };
            let promised = certificate.is_some_and(|pem| line.fingerprints.iter().any(|print| print.is_of(&pem)));
            if !promised {
                drop(lines);
                self.tell(PeerEvent::Forged);
                return branch::discard(pipeline, pad);
            }
            line.pad = pad.downgrade();
            line.branch = self.branches.fetch_add(1, Ordering::Relaxed) + 1;
            (line.branch, mid, line.outlet.clone())
        };
        let Some(codec) = codec else { return branch::discard(pipeline, pad) };
        if let Some(outlet) = outlet {
            outlet.source_is(pad);
        }
        let carrier = Carrier { shared: Arc::clone(self), mid: mid.clone(), number, codec };
        branch::attach(pipeline, pad, codec, &Arc::new(carrier))?;
        self.tell(PeerEvent::Flowing { mid, ssrc });
        Ok(())
    }
}

impl Line {
    fn feed(&mut self, outlet: Option<&Arc<Outlet>>) {
        if let (Some(outlet), Some(pad)) = (outlet, self.pad.upgrade())
            && self.outlet.as_ref().is_none_or(|old| !Arc::ptr_eq(old, outlet))
        {
            outlet.source_is(&pad);
        }
        self.outlet = outlet.cloned();
    }
}

fn remote_certificate(transceiver: &WebRTCRTPTransceiver) -> Option<String> {
    let receiver = transceiver.property::<Option<glib::Object>>("receiver")?;
    let transport = receiver.property::<Option<glib::Object>>("transport")?;
    transport.property::<Option<String>>("remote-certificate")
}

impl Carrier {
    /// The outlet, while this branch is the one that feeds it.
    fn outlet(&self) -> Option<Arc<Outlet>> {
        let lines = self.shared.lines();
        let line = lines.get(&self.mid).filter(|line| line.branch == self.number)?;
        line.outlet.clone().filter(|outlet| outlet.codec() == self.codec)
    }
}

impl Receiver for Carrier {
    fn packet(&self, gap: bool) {
        if let Some(source) = self.outlet().and_then(|outlet| outlet.packet(gap)) {
            ask_for_key(&source);
        }
    }

    fn frame(&self, frame: Frame) {
        if let Some(outlet) = self.outlet() {
            outlet.deliver(frame);
        }
    }

    fn key_wanted(&self) {
        self.shared.tell(PeerEvent::KeyWanted { mid: self.mid.clone() });
    }
}

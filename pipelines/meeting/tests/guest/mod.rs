//! A participant for tests, independent of the code under test: joins a Janus room, publishes known signals with
//! GStreamer, goes silent, unpublishes, leaves, or vanishes when dropped.

#![allow(clippy::expect_used, reason = "test support: a broken test bed ends the test")]
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use gstreamer::prelude::*;
use gstreamer_sdp::SDPMessage;
use gstreamer_webrtc::{WebRTCSDPType, WebRTCSessionDescription};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};
use tokio_util::task::AbortOnDropHandle;

const PATIENCE: Duration = Duration::from_secs(15);

/// What a guest sends. Both signals begin each second of their common time with 100 ms of something special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// 320x240 at 15 fps in this colour (0xRRGGBB), white for the first 100 ms of each second. Key frames only when
    /// asked for.
    Vp8(u32),
    H264(u32),
    /// The same, with the parameter sets before the first key frame only.
    H264Once(u32),
    /// Silence, with a 1 kHz beep for the first 100 ms of each second.
    Opus,
}

/// A seat in a room.
pub(crate) struct Guest {
    orders: mpsc::UnboundedSender<(Value, Option<oneshot::Sender<Value>>)>,
    _socket: AbortOnDropHandle<()>,
    room: Value,
    /// The feed id that Janus has given.
    pub(crate) id: Value,
    pipeline: Option<gstreamer::Pipeline>,
    hung_up: Arc<Notify>,
}

impl Guest {
    /// Joins without publishing. `extra` goes into the join request (`pin`, `id`, …).
    pub(crate) async fn join(url: &str, room: impl Into<Value>, name: &str, extra: Value) -> Self {
        let mut request = url.into_client_request().expect("a URL");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("janus-protocol"));
        let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("janus takes guests");
        let (orders, taken) = mpsc::unbounded_channel();
        let hung_up = Arc::new(Notify::new());
        let task = AbortOnDropHandle::new(tokio::spawn(serve(socket, taken, Arc::clone(&hung_up))));
        let room = room.into();
        let mut guest = Self { orders, _socket: task, room: room.clone(), id: Value::Null, pipeline: None, hung_up };
        guest.ask(json!({"janus": "create"})).await;
        guest.ask(json!({"janus": "attach", "plugin": "janus.plugin.videoroom"})).await;
        let mut join = json!({"request": "join", "ptype": "publisher", "room": room, "display": name});
        if let (Some(join), Some(extra)) = (join.as_object_mut(), extra.as_object()) {
            join.extend(extra.clone());
        }
        guest.id = guest.message(join, None).await["plugindata"]["data"]["id"].clone();
        assert!(!guest.id.is_null(), "a guest was not let in");
        guest
    }

    /// Joins and publishes.
    pub(crate) async fn publishing(url: &str, room: impl Into<Value>, name: &str, signals: &[Signal]) -> Self {
        let mut guest = Self::join(url, room, name, json!({})).await;
        guest.publish(signals, &[]).await;
        guest
    }

    /// Sends `signals`, described as in `descriptions` where there are some.
    pub(crate) async fn publish(&mut self, signals: &[Signal], descriptions: &[&str]) {
        gstreamer::init().expect("GStreamer starts");
        let (pipeline, webrtc) = sender(signals);
        let orders = self.orders.clone();
        webrtc.connect("on-ice-candidate", false, move |args| {
            let (mline, candidate) = (args[1].get::<u32>().expect("a line"), args[2].get::<String>().expect("text"));
            let candidate = json!({"candidate": candidate, "sdpMLineIndex": mline});
            let _ = orders.send((json!({"janus": "trickle", "candidate": candidate}), None));
            None
        });
        pipeline.set_state(gstreamer::State::Playing).expect("a guest's pipeline starts");
        self.pipeline = Some(pipeline);
        self.negotiate("publish", descriptions).await;
    }

    /// Sends one signal more over the same connection.
    pub(crate) async fn add(&mut self, signal: Signal) {
        let pipeline = self.pipeline.clone().expect("a publishing guest");
        let webrtc = pipeline.by_name("webrtc").expect("a webrtcbin");
        let at = webrtc.pads().iter().filter(|pad| pad.direction() == gstreamer::PadDirection::Sink).count();
        let bin = gstreamer::parse::bin_from_description(&chain(at, signal), true).expect("a guest's branch is right");
        pipeline.add(&bin).expect("a pipeline takes a branch");
        stamp(bin.upcast_ref(), at, signal);
        bin.link(&webrtc).expect("webrtcbin takes a branch");
        bin.sync_state_with_parent().expect("a branch starts");
        self.negotiate("configure", &[]).await;
    }

    async fn negotiate(&self, request: &str, descriptions: &[&str]) {
        let pipeline = self.pipeline.as_ref().expect("a publishing guest");
        let webrtc = pipeline.by_name("webrtc").expect("a webrtcbin");
        // A line's SSRC is known once its caps are, and Janus drops what was not announced.
        let until = std::time::Instant::now() + PATIENCE;
        while webrtc.sink_pads().iter().any(|pad| pad.current_caps().is_none()) {
            assert!(std::time::Instant::now() < until, "a guest's branch gives no caps");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let reply = promised(|promise| {
            webrtc.emit_by_name::<()>("create-offer", &[&None::<gstreamer::Structure>, &promise]);
        })
        .await
        .expect("an offer");
        let offer = reply.get::<WebRTCSessionDescription>("offer").expect("an offer");
        let text = offer.sdp().as_text().expect("an offer's text");
        promised(|promise| webrtc.emit_by_name::<()>("set-local-description", &[&offer, &promise])).await;
        let mids = text.lines().filter_map(|line| line.strip_prefix("a=mid:"));
        let described: Vec<_> =
            mids.zip(descriptions).map(|(mid, text)| json!({"mid": mid, "description": text})).collect();
        let mut body = json!({"request": request});
        if !described.is_empty() {
            body["descriptions"] = json!(described);
        }
        let answer = self.message(body, Some(json!({"type": "offer", "sdp": text}))).await;
        let answer = answer["jsep"]["sdp"].as_str().expect("janus answers a publisher").to_owned();
        let message = SDPMessage::parse_buffer(answer.as_bytes()).expect("janus' answer is SDP");
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, message);
        promised(|promise| webrtc.emit_by_name::<()>("set-remote-description", &[&answer, &promise])).await;
    }

    /// Sends nothing of the `at`th signal, or goes on sending it.
    pub(crate) fn hold(&self, at: usize, hold: bool) {
        let pipeline = self.pipeline.as_ref().expect("a publishing guest");
        pipeline.by_name(&format!("valve{at}")).expect("a valve").set_property("drop", hold);
    }

    /// Sends a VideoRoom request from this seat.
    pub(crate) async fn request(&self, body: Value) -> Value {
        self.message(body, None).await["plugindata"]["data"].clone()
    }

    /// Ends publishing but stays in the room.
    pub(crate) async fn unpublish(&mut self) {
        self.request(json!({"request": "unpublish"})).await;
        // Until then Janus would take a new offer for one of the old connection.
        timeout(PATIENCE, self.hung_up.notified()).await.expect("janus hangs up on who unpublishes");
        self.stop();
    }

    pub(crate) async fn leave(mut self) {
        self.stop();
        self.request(json!({"request": "leave"})).await;
    }

    fn stop(&mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            let _ = pipeline.set_state(gstreamer::State::Null);
        }
    }

    async fn message(&self, body: Value, jsep: Option<Value>) -> Value {
        let mut message = json!({"janus": "message", "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        let answer = self.ask(message).await;
        assert!(answer["plugindata"]["data"].get("error").is_none(), "janus refused a guest: {answer}");
        answer
    }

    async fn ask(&self, body: Value) -> Value {
        let (answer, wait) = oneshot::channel();
        self.orders.send((body, Some(answer))).expect("a guest's connection lives");
        timeout(PATIENCE, wait).await.expect("janus answers a guest in time").expect("janus answers a guest")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop();
    }
}

type Orders = mpsc::UnboundedReceiver<(Value, Option<oneshot::Sender<Value>>)>;
type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn serve(mut socket: Socket, mut orders: Orders, hung_up: Arc<Notify>) {
    let (mut session, mut handle) = (Value::Null, Value::Null);
    let mut waiting: HashMap<String, (String, oneshot::Sender<Value>)> = HashMap::new();
    let mut count = 0;
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((mut body, answer)) = order else { return };
                count += 1;
                let transaction = count.to_string();
                body["transaction"] = json!(transaction);
                if !session.is_null() {
                    body["session_id"] = session.clone();
                }
                if !handle.is_null() {
                    body["handle_id"] = handle.clone();
                }
                let verb = body["janus"].as_str().unwrap_or_default().to_owned();
                if let Some(answer) = answer {
                    waiting.insert(transaction, (verb, answer));
                }
                if socket.send(Message::text(body.to_string())).await.is_err() {
                    return;
                }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let reply: Value = serde_json::from_str(&text).expect("janus sends JSON");
                if reply["janus"] == "hangup" {
                    hung_up.notify_one();
                }
                let Some(transaction) = reply["transaction"].as_str() else { continue };
                if reply["janus"] == "ack" {
                    continue;
                }
                if let Some((verb, answer)) = waiting.remove(transaction) {
                    match verb.as_str() {
                        "create" => session = reply["data"]["id"].clone(),
                        "attach" => handle = reply["data"]["id"].clone(),
                        _ => {}
                    }
                    let _ = answer.send(reply);
                }
            }
        }
    }
}

/// A sending pipeline and its webrtcbin.
pub(crate) fn sender(signals: &[Signal]) -> (gstreamer::Pipeline, gstreamer::Element) {
    let mut text = String::from("webrtcbin name=webrtc bundle-policy=max-bundle");
    for (at, signal) in signals.iter().enumerate() {
        text = format!("{text} {} ! webrtc.sink_{at}", chain(at, *signal));
    }
    let pipeline = gstreamer::parse::launch(&text).expect("a guest's pipeline is right");
    let pipeline = pipeline.downcast::<gstreamer::Pipeline>().expect("a pipeline");
    for (at, signal) in signals.iter().enumerate() {
        stamp(pipeline.upcast_ref(), at, *signal);
    }
    let webrtc = pipeline.by_name("webrtc").expect("a webrtcbin");
    no_upnp(&webrtc);
    (pipeline, webrtc)
}

/// From a source to RTP, as text for a parser of pipelines.
fn chain(at: usize, signal: Signal) -> String {
    let (ssrc, once) = (1111 * (at + 1), matches!(signal, Signal::H264Once(_)));
    match signal {
        Signal::Vp8(colour) => format!(
            "{} ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=100000 target-bitrate=300000 ! valve name=valve{at} \
             ! rtpvp8pay ssrc={ssrc} pt=96 picture-id-mode=15-bit ! capsfilter caps=application/x-rtp,media=video,encoding-name=VP8,payload=96",
            picture(at, colour)
        ),
        Signal::H264(colour) | Signal::H264Once(colour) => format!(
            "{} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=100000 bitrate=300 {} \
             ! video/x-h264,stream-format=avc,profile=constrained-baseline ! valve name=valve{at} \
             ! rtph264pay ssrc={ssrc} pt=102 aggregate-mode=zero-latency config-interval={} \
             ! capsfilter caps=application/x-rtp,media=video,encoding-name=H264,payload=102",
            picture(at, colour),
            if once { "option-string=repeat-headers=0" } else { "" },
            // Seconds between two; -1: with each key frame.
            if once { 3600 } else { -1 },
        ),
        Signal::Opus => format!(
            "audiotestsrc name=source{at} is-live=true freq=1000 samplesperbuffer=960 \
             ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! opusenc ! valve name=valve{at} \
             ! rtpopuspay ssrc={ssrc} pt=111 ! capsfilter caps=application/x-rtp,media=audio,encoding-name=OPUS,payload=111"
        ),
    }
}

/// Makes the signal of source `at` what [`Signal`] promises, by its time in the common stream.
fn stamp(bin: &gstreamer::Bin, at: usize, signal: Signal) {
    let source = bin.by_name(&format!("source{at}")).expect("a source");
    let pad = source.static_pad("src").expect("a source's pad");
    let sound = signal == Signal::Opus;
    pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, info| {
        let buffer = info.buffer_mut().expect("a buffer").make_mut();
        let special = buffer.pts().expect("a live source stamps").mseconds() % 1000 < 100;
        if special != sound {
            let size = buffer.size();
            let mut map = buffer.map_writable().expect("a test source's memory");
            // Silence between beeps; white (luma 235, no colour) in the flash.
            let luma = size * 2 / 3;
            if sound {
                map.fill(0);
            } else {
                map[..luma].fill(235);
                map[luma..].fill(128);
            }
        }
        gstreamer::PadProbeReturn::Ok
    });
}

/// libnice looks for routers to open; a test keeps to this machine.
pub(crate) fn no_upnp(webrtc: &gstreamer::Element) {
    let ice = webrtc.property::<gstreamer::glib::Object>("ice-agent");
    ice.property::<gstreamer::glib::Object>("agent").set_property("upnp", false);
}

fn picture(at: usize, colour: u32) -> String {
    format!(
        "videotestsrc name=source{at} is-live=true pattern=solid-color foreground-color={}
         ! video/x-raw,format=I420,width=320,height=240,framerate=15/1,colorimetry=bt601",
        0xff00_0000_u32 | colour
    )
}

/// Runs one of webrtcbin's actions and waits for its reply.
pub(crate) async fn promised(emit: impl FnOnce(gstreamer::Promise)) -> Option<gstreamer::Structure> {
    let (done, wait) = oneshot::channel();
    emit(gstreamer::Promise::with_change_func(move |reply| {
        let reply = reply.expect("webrtcbin keeps its promise").map(gstreamer::StructureRef::to_owned);
        let _ = done.send(reply);
    }));
    timeout(PATIENCE, wait).await.expect("webrtcbin replies in time").expect("webrtcbin replies")
}

// A person in a Janus VideoRoom as a browser sees it: camera and microphone of the browser, a screen share from a
// canvas. Speaks Janus' own JSON over a WebSocket, without a library. The harness calls `participant`.
"use strict";

class Janus {
  constructor(url) {
    this.waiting = new Map();
    this.socket = new WebSocket(url, "janus-protocol");
    this.opened = new Promise((done, fail) => {
      this.socket.onopen = done;
      this.socket.onerror = () => fail(new Error("cannot reach Janus"));
    });
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
  }

  take(message) {
    const waiter = this.waiting.get(message.transaction);
    if (waiter && message.janus !== "ack") {
      this.waiting.delete(message.transaction);
      waiter(message);
    } else if (message.plugindata?.data?.videoroom === "destroyed" || message.plugindata?.data?.leaving === "ok") {
      participant.gone = true;
    }
  }

  // One request and its reply; a refusal, of Janus or of the plugin, is thrown.
  async ask(body) {
    await this.opened;
    const transaction = crypto.randomUUID();
    const reply = await new Promise((done) => {
      this.waiting.set(transaction, done);
      this.socket.send(JSON.stringify({ ...this.ids, ...body, transaction }));
    });
    const refused = reply.error?.reason ?? reply.plugindata?.data?.error;
    if (refused) throw new Error(refused);
    return reply;
  }

  async open() {
    this.ids = { session_id: (await this.ask({ janus: "create" })).data.id };
    this.beat = setInterval(() => this.ask({ janus: "keepalive" }), 10000);
  }

  async close() {
    clearInterval(this.beat);
    await this.ask({ janus: "destroy" });
    this.socket.close();
  }
}

// One publisher: a handle, a peer connection, the tracks it sends.
class Publisher {
  static async start(janus, { room, pin, name, stream, codec, description }) {
    const it = new Publisher();
    it.janus = janus;
    it.handle = (await janus.ask({ janus: "attach", plugin: "janus.plugin.videoroom" })).data.id;
    await it.say({ request: "join", ptype: "publisher", room, pin, display: name });
    it.peer = new RTCPeerConnection();
    it.senders = {};
    for (const track of stream.getTracks()) {
      const transceiver = it.peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
      it.senders[track.kind] = transceiver.sender;
      if (track.kind === "video" && codec) {
        const codecs = RTCRtpSender.getCapabilities("video").codecs;
        const wanted = codecs.filter((c) => c.mimeType.toLowerCase() === `video/${codec}` || c.mimeType.endsWith("rtx"));
        transceiver.setCodecPreferences(wanted);
      }
    }
    await it.peer.setLocalDescription();
    // All candidates are on this machine and found at once: no trickling.
    while (it.peer.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
    const lines = it.peer.getTransceivers().map((t) => ({ mid: t.mid, description: description ?? t.sender.track.kind }));
    const reply = await it.say({ request: "publish", descriptions: lines }, it.peer.localDescription);
    await it.peer.setRemoteDescription(reply.jsep);
    while (it.peer.connectionState !== "connected") {
      if (it.peer.connectionState === "failed") throw new Error("the peer connection failed");
      await new Promise((done) => setTimeout(done, 20));
    }
    return it;
  }

  say(body, jsep) {
    return this.janus.ask({ janus: "message", handle_id: this.handle, body, ...(jsep && { jsep }) });
  }

  async stop() {
    await this.say({ request: "leave" });
    this.peer.close();
    await this.janus.ask({ janus: "detach", handle_id: this.handle });
  }
}

// A slide with the machine-readable time code of the GStreamer participants (see signal.rs: cells, check byte).
function draw(canvas, title) {
  const c = canvas.getContext("2d"), { width: w, height: h } = canvas;
  const tenths = Math.floor(Date.now() / 100) % 65536;
  const check = ((tenths * 0x9d) ^ (tenths >> 8) ^ 0x5a) & 0xff;
  const code = tenths * 256 + check;
  c.fillStyle = "rgb(235 215 150)";
  c.fillRect(0, 0, w, h);
  c.fillStyle = "rgb(90 40 120)";
  c.fillRect(0.05 * w, 0.06 * h, 0.9 * w, 0.16 * h);
  c.fillStyle = "white";
  c.font = `bold ${h / 12}px sans-serif`;
  c.fillText(title, 0.08 * w, 0.17 * h);
  for (let bit = 0; bit < 24; bit++) {
    c.fillStyle = (code >> (23 - bit)) & 1 ? "white" : "black";
    c.fillRect((0.05 + (0.9 / 24) * bit) * w, 0.8 * h, (0.9 / 24) * w + 1, 0.14 * h);
  }
}

const participant = {
  gone: false,

  async join(options) {
    this.options = options;
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this.stream ??= await navigator.mediaDevices.getUserMedia({ video: true, audio });
    document.getElementById("self").srcObject = this.stream;
    this.janus = new Janus(options.janus);
    await this.janus.open();
    this.me = await Publisher.start(this.janus, { ...options, stream: this.stream });
  },

  // Is there, and sends nothing.
  async attend(options) {
    this.janus = new Janus(options.janus);
    await this.janus.open();
    const handle = (await this.janus.ask({ janus: "attach", plugin: "janus.plugin.videoroom" })).data.id;
    const body = { request: "join", ptype: "publisher", room: options.room, pin: options.pin, display: options.name };
    await this.janus.ask({ janus: "message", handle_id: handle, body });
    this.me = { stop: () => this.janus.ask({ janus: "message", handle_id: handle, body: { request: "leave" } }) };
  },

  async leave() {
    await this.me.stop();
    await this.janus.close();
  },

  camera(on) { this.stream.getVideoTracks()[0].enabled = on; },
  mic(on) { this.stream.getAudioTracks()[0].enabled = on; },

  // Sends the camera at 1/by of its size from the next key frame on.
  async scale(by) {
    const parameters = this.me.senders.video.getParameters();
    parameters.encodings[0].scaleResolutionDownBy = by;
    await this.me.senders.video.setParameters(parameters);
  },

  async share(title) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
    draw(canvas, title);
    this.drawing = setInterval(() => draw(canvas, title), 100);
    const stream = canvas.captureStream(10);
    this.screen = await Publisher.start(this.janus, { ...this.options, stream, description: "screen" });
  },

  async unshare() {
    clearInterval(this.drawing);
    await this.screen.stop();
  },

  async sent() {
    const found = { width: 0, frames: 0 };
    for (const s of (await this.me.peer.getStats()).values()) {
      if (s.type === "outbound-rtp" && s.kind === "video") Object.assign(found, { width: s.frameWidth, frames: s.framesSent });
    }
    return found;
  },
};

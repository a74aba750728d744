// Plays one webinar: waits for its start, follows it live, says when it has ended, and tells what to do when
// something is wrong. `window.lectern` tells tests and support what is going on.
"use strict";

(() => {
  const main = document.querySelector("main[data-recording]");
  const stage = document.getElementById("stage");
  const video = document.getElementById("player");
  const cover = document.getElementById("words");
  const headline = document.getElementById("headline");
  const advice = document.getElementById("advice");
  const status = document.getElementById("status");
  const unmute = document.getElementById("unmute");
  const edge = document.getElementById("edge");
  const id = main.dataset.recording;
  const source = `/hls/${id}/index.m3u8`;

  const WORDS = {
    waiting: ["The webinar has not started yet", "This page starts by itself. You can leave it open."],
    live: ["Live", ""],
    press: ["Live", "Press play to watch."],
    interrupted: ["The webinar is interrupted", "Waiting for the recorder to come back. It goes on by itself; you can leave this page open."],
    ended: ["The webinar has ended", "While this page is open you can watch its last minutes again."],
    gone: ["The webinar has ended", "Ask the organiser whether there is a recording."],
    problem: ["The stream is interrupted", "It goes on by itself. If not within a minute, check your connection and load this page again."],
    unsupported: ["This browser cannot play the webinar", "Open this page in a current version of Firefox, Chrome, Edge or Safari."],
  };

  let state = "";
  let player = null; // hls.js, or "native"
  let over = false; // the playlist says that nothing will follow
  let attempts = 0;
  let errors = 0;
  let again = null; // asks whether an ended stream goes on

  const played = () => {
    let seconds = 0;
    for (let n = 0; n < video.played.length; n += 1) seconds += video.played.end(n) - video.played.start(n);
    return seconds;
  };

  window.lectern = {
    get state() { return state; },
    get currentTime() { return video.currentTime; },
    get playedSeconds() { return played(); },
    get latency() { return player && player.latency ? player.latency : null; },
    get errors() { return errors; },
  };

  function show(next, words = next) {
    const [first, second] = WORDS[words];
    if (headline.textContent !== first) headline.textContent = first;
    if (advice.textContent !== second) advice.textContent = second;
    // Words cover the stage only while there is no picture to look at.
    const held = next === "problem" || next === "interrupted";
    const covers = next === "waiting" || words === "gone" || (held && video.readyState < 2);
    stage.classList.toggle("covered", covers);
    cover.hidden = !covers;
    status.hidden = covers;
    const text = second ? `${first}. ${second}` : first;
    if (status.textContent !== text) status.textContent = text;
    status.className = next === "live" ? "badge live" : "";
    state = next;
    document.documentElement.dataset.state = state;
  }

  const later = (task, seconds) => setTimeout(task, seconds * 1000);

  // What the origin says of the webinar; null when it says nothing.
  async function ask() {
    try {
      const answer = await fetch(`/api/live/${id}`, { headers: { accept: "application/json" } });
      return answer.ok ? (await answer.json()).state : null;
    } catch {
      return null; // the network is away
    }
  }

  // Asks again and again, spread out so that a full lecture hall does not ask at once.
  async function wait() {
    const told = await ask();
    if (told === "live" || told === "ended") return start(told);
    attempts += 1;
    if (told === "waiting" || told === "interrupted") show(told);
    else if (attempts > 2) show("problem");
    const pause = document.hidden ? 15 : Math.min(3 + attempts / 10, 10);
    later(wait, pause * (0.8 + 0.4 * Math.random()));
  }

  function start(told) {
    over = told === "ended";
    if (window.Hls && window.Hls.isSupported()) startHls();
    else if (video.canPlayType("application/vnd.apple.mpegurl")) startNative();
    else show("problem", "unsupported");
  }

  function startHls() {
    const hls = new window.Hls({
      enableWorker: false, // a worker would need `blob:` scripts, which this page's policy forbids
      lowLatencyMode: false,
      liveSyncDurationCount: 3,
      maxLiveSyncPlaybackRate: 1.1,
      backBufferLength: 90,
      manifestLoadPolicy: retries(window.Hls.DefaultConfig.manifestLoadPolicy, 6),
      playlistLoadPolicy: retries(window.Hls.DefaultConfig.playlistLoadPolicy, 6),
    });
    let recovered = 0;
    hls.on(window.Hls.Events.MANIFEST_PARSED, () => play());
    hls.on(window.Hls.Events.LEVEL_UPDATED, (_, data) => { over = !data.details.live; });
    hls.on(window.Hls.Events.ERROR, (_, data) => {
      errors += 1;
      if (!data.fatal) return;
      if (data.type === window.Hls.ErrorTypes.MEDIA_ERROR && performance.now() - recovered > 10000) {
        recovered = performance.now();
        hls.recoverMediaError();
        return;
      }
      show("problem");
      hls.destroy();
      player = null;
      later(wait, 2 + 3 * Math.random());
    });
    hls.loadSource(source);
    hls.attachMedia(video);
    player = hls;
  }

  function retries(policy, count) {
    const more = structuredClone(policy);
    more.default.errorRetry.maxNumRetry = count;
    more.default.timeoutRetry.maxNumRetry = count;
    return more;
  }

  function startNative() {
    player = "native";
    video.src = source;
    play();
  }

  // Browsers let a page begin with sound only after the viewer has touched it.
  async function play() {
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return;
      video.muted = true;
      unmute.hidden = false;
      await video.play().catch(() => show(over ? "ended" : "live", over ? "ended" : "press"));
    }
  }

  unmute.addEventListener("click", () => {
    video.muted = false;
    unmute.hidden = true;
    video.focus();
  });
  video.addEventListener("volumechange", () => {
    if (!video.muted) unmute.hidden = true;
  });

  const liveEdge = () => {
    if (player && player !== "native") return player.liveSyncPosition;
    return video.seekable.length ? video.seekable.end(video.seekable.length - 1) - 9 : null;
  };

  edge.addEventListener("click", () => {
    const position = liveEdge();
    if (position) video.currentTime = position;
    play();
    video.focus();
  });

  video.addEventListener("playing", () => show(over ? "ended" : "live"));
  video.addEventListener("ended", () => {
    show("ended");
    clearTimeout(again);
    again = later(returns, 10);
  });

  // A worker that was told to stop may have ended the stream before another took over.
  async function returns() {
    if (state !== "ended") return;
    if (await ask() === "live") {
      if (player && player !== "native") player.destroy();
      player = null;
      return start("live");
    }
    again = later(returns, 10 + 5 * Math.random());
  }

  video.addEventListener("error", () => {
    errors += 1;
    if (player === "native") {
      player = null;
      show("problem");
      later(wait, 5);
    }
  });

  // Once a second: is the picture moving, and how far behind is it?
  let lastTime = 0;
  let still = 0;
  setInterval(async () => {
    document.documentElement.dataset.currentTime = video.currentTime.toFixed(2);
    document.documentElement.dataset.playedSeconds = played().toFixed(2);
    const position = liveEdge();
    edge.hidden = over || !player || !position || position - video.currentTime < 12;
    if (video.currentTime !== lastTime) {
      if ((state === "problem" || state === "interrupted") && player) show(over ? "ended" : "live");
      [lastTime, still] = [video.currentTime, 0];
      return;
    }
    if (!player || video.paused || video.ended) return;
    still += 1;
    if (still < 3 || (still > 4 && still % 8)) return;
    const told = await ask();
    if (!still) return;
    if (told === "interrupted") show("interrupted");
    else if (still >= 8 && told === "ended" && video.buffered.length === 0) show("ended", "gone");
    else if (still >= 8 && state !== "ended") show("problem");
  }, 1000);

  show("waiting");
  wait();
})();

// Dates in the reader's own time; links to a moment of the video; the transcript follows the video, and the video the
// transcript.
"use strict";

for (const time of document.querySelectorAll("time[data-local]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    time.textContent = at.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
    time.title = time.dateTime;
  }
}

for (const link of document.querySelectorAll("a[data-jump]")) {
  link.addEventListener("click", (event) => {
    const video = document.getElementById("player");
    if (!video) return;
    event.preventDefault();
    video.currentTime = Number(link.dataset.jump);
    video.scrollIntoView({ block: "nearest" });
    video.play().catch(() => {});
  });
}

(() => {
  const video = document.getElementById("player");
  const list = document.getElementById("lines");
  if (!video || !list) return;
  const lines = [...list.querySelectorAll("button")].map((button) => ({
    button,
    at: Number(button.dataset.at),
    to: Number(button.dataset.to),
  }));
  if (lines.length === 0) return;

  let current = -1;

  // One stop for Tab; arrows move within the list, so that nobody has to tab through an hour of lines.
  function offer(n) {
    for (const { button } of lines) button.tabIndex = -1;
    lines[n].button.tabIndex = 0;
  }

  function mark(n) {
    if (n === current) return;
    if (current >= 0) lines[current].button.removeAttribute("aria-current");
    current = n;
    if (n < 0) return;
    const { button } = lines[n];
    button.setAttribute("aria-current", "true");
    // Who reads in the list is not to be pulled away from the line.
    if (list.contains(document.activeElement) || list.matches(":hover")) return;
    offer(n);
    const [top, bottom] = [button.offsetTop - list.offsetTop, button.offsetTop - list.offsetTop + button.offsetHeight];
    if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) {
      list.scrollTop = top - list.clientHeight / 3;
    }
  }

  // The last line that has begun, for a short pause after its end too.
  function spoken(seconds) {
    let [low, high] = [0, lines.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lines[middle].at <= seconds + 0.05) low = middle + 1;
      else high = middle;
    }
    const n = low - 1;
    return n >= 0 && seconds < lines[n].to + 3 ? n : -1;
  }

  video.addEventListener("timeupdate", () => mark(spoken(video.currentTime)));
  video.addEventListener("seeked", () => mark(spoken(video.currentTime)));

  lines.forEach(({ button, at }, n) => {
    button.addEventListener("click", () => {
      video.currentTime = at;
      video.play().catch(() => {});
    });
    button.addEventListener("focus", () => offer(n));
  });

  list.addEventListener("keydown", (event) => {
    const n = lines.findIndex(({ button }) => button === document.activeElement);
    const to = { ArrowDown: n + 1, ArrowUp: n - 1, Home: 0, End: lines.length - 1 }[event.key];
    if (n < 0 || to === undefined) return;
    event.preventDefault();
    lines[Math.min(Math.max(to, 0), lines.length - 1)].button.focus();
  });

  offer(0);
})();

// Show what rt-decoder sends at the frame nearest to its time, and tell it when that was.
"use strict";

const faces = [...document.querySelectorAll(".face")]; // one is seen, the other made ready
const square = document.getElementById("square");
const STOPS = [" ", "p", "q", "\x1b"];
const IGNORED = ["Shift", "CapsLock", "NumLock", "ScrollLock", "AltGraph", "Dead", "Process", "Unidentified"];
const record = []; // of all that was seen; times in ms of performance.now()
const frames = { n: 0, dropped: 0, longest: 0, interval: 1000 / 60 };

let socket = null, over = false;
let queue = [], drawn = null, // what comes, in order; what the last frame drew
  current = { kind: "status", timed: false };
let seen = 0, last = performance.now(), steps = [], early = [];

function say(what) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

// --- what is on the screen

function prepare(face, { text, kind }) {
  face.className = `face ${kind}` + (face === faces[seen] ? " seen" : "");
  const line = face.firstElementChild;
  line.textContent = text;
  fit(line);
}

function ready() { // the next one is laid out before its time
  if (queue.length) prepare(faces[1 - seen], queue[0]);
}

function fit(line) { // long ones are set smaller until they fit
  line.style.fontSize = line.style.overflowWrap = "";
  let size = parseFloat(getComputedStyle(line).fontSize);
  const isLarge = () => line.scrollWidth > line.clientWidth + 1 || line.clientHeight > 0.8 * innerHeight;
  while (isLarge() && size > 14) line.style.fontSize = `${(size *= 0.9)}px`;
  if (isLarge()) line.style.overflowWrap = "anywhere";
}

function swap(step) {
  faces[seen].classList.remove("seen");
  seen = 1 - seen;
  faces[seen].classList.add("seen");
  square.classList.toggle("on", step.kind === "word");
  document.body.classList.toggle("running", step.timed);
  document.body.classList.toggle("resting", step.kind === "rest");
  current = step;
}

function status(text) { // of the page itself
  queue = early = [];
  drawn = null;
  prepare(faces[1 - seen], { text, kind: "status" });
  swap({ kind: "status", timed: false });
}

function frame(now) { // the step that the last frame drew is on its way to the eye: it counts from here
  requestAnimationFrame(frame);
  count(now - last);
  last = now;
  tellDrawn(now);
  if (queue.length && now + 1.5 * frames.interval >= queue[0].at) {
    drawn = queue[0];
    queue = queue.slice(1);
    swap(drawn);
  }
}

function tellDrawn(now) {
  if (!drawn) return;
  record.push({ n: drawn.n, text: drawn.text, kind: drawn.kind, at: now });
  say({ shown: drawn.n, at: now, frames: [frames.n, frames.dropped, frames.longest, frames.interval] });
  frames.n = frames.dropped = frames.longest = 0; // they are told once
  drawn = null;
  ready();
  early.splice(0).forEach(pressed);
}

function count(step) {
  if (steps.push(step) > 60) steps.shift();
  frames.interval = [...steps].sort((a, b) => a - b)[steps.length >> 1] || frames.interval;
  if (!current.timed) return;
  const n = Math.max(1, Math.round(step / frames.interval));
  frames.n += n;
  frames.dropped += n - 1;
  frames.longest = Math.max(frames.longest, step);
}

// --- keys, and whether anybody can see

function pressed(key) {
  if (drawn) return void early.push(key); // what is drawn was there first
  if (STOPS.includes(key)) queue = queue.filter((step) => !step.dropped); // they come after the pause
  say({ key });
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (IGNORED.includes(event.key) || /^F\d+$/.test(event.key)) return;
  event.preventDefault();
  let key = event.key === "Escape" ? "\x1b" : event.key.toLowerCase().slice(0, 16);
  if (!/^[\x20-\x7e\x1b]/.test(key) && /^Key[A-Z]$/.test(event.code)) // not a Latin keyboard
    key = event.code.slice(3).toLowerCase();
  if (current.kind === "rest" && !["q", "\x1b"].includes(key)) fill();
  pressed(key);
});

addEventListener("pointerdown", () => {
  if (current.kind !== "rest") return;
  fill();
  pressed("click");
});

function fill() {
  if (document.fullscreenElement) return;
  document.documentElement.requestFullscreen({ navigationUI: "hide" }).catch(() => {}); // a window does, too
  navigator.wakeLock?.request("screen").catch(() => {});
}

document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement && current.timed) pressed(" "); // Esc did that: a pause
});

addEventListener("resize", () => faces.forEach((face) => fit(face.firstElementChild)));

function tellWhetherSeen() {
  tellDrawn(performance.now());
  if (document.hidden) queue = [];
  say({ here: !document.hidden });
}
document.addEventListener("visibilitychange", tellWhetherSeen);

// --- rt-decoder

function hear(message) {
  const said = JSON.parse(message.data);
  if ("ping" in said) say({ pong: said.ping, at: performance.now() });
  else if ("show" in said) {
    const { show: n, text, kind, timed, at } = said;
    const step = { n, text, kind, timed, at: at ?? -Infinity, dropped: timed || at !== null };
    queue = at === null ? [step] : [...queue, step]; // what is shown now replaces what was to come
    if (queue.length === 1 && !drawn) ready();
  } else if ("end" in said) {
    over = true;
    status(said.end);
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  }
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onopen = tellWhetherSeen;
  socket.onmessage = hear;
  socket.onclose = () => {
    if (over) return;
    status("No answer from rt-decoder: it has ended, or will be back.");
    setTimeout(connect, 500);
  };
}

status("Connecting to rt-decoder");
requestAnimationFrame(frame);
connect();

// The page: one WebSocket, the states, and what keys and buttons do.

import { $, counted, isNews, make, say } from "./dom.js";
import { Events, artifacts, latency, losses, model, score } from "./figures.js";
import { Signal } from "./signal.js";
import { Words } from "./words.js";

const RETRY_MS = 1000, SILENT_MS = 4000;
const LEVELS = { live: "good", stale: "warn", lost: "bad", returned: "warn", ended: "idle", fits: "good", doubtful: "warn", unlike: "bad", unchecked: "idle" };
const THEMES = ["auto", "light", "dark"];

class Socket {
  constructor() {
    this.heard = performance.now();
    this.open();
    setInterval(() => {
      if (performance.now() - this.heard > SILENT_MS) { offline(true); this.link.close(); }
    }, RETRY_MS);
  }

  open() {
    this.link = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    this.link.binaryType = "arraybuffer";
    this.link.onopen = () => { this.heard = performance.now(); restart(); };
    this.link.onclose = () => { offline(true); setTimeout(() => this.open(), RETRY_MS); };
    this.link.onmessage = ({ data }) => {
      this.heard = performance.now();
      if (typeof data === "string") take(JSON.parse(data));
      else signal.take(data);
    };
  }

  tell(message) {
    if (this.link?.readyState === WebSocket.OPEN) this.link.send(JSON.stringify(message));
  }
}

let advice = { fits: {}, states: {}, reasons: {} };
let decoders = [], watching = "", view = null;
let socket = null;
const words = new Words(), events = new Events();
const proxy = { tell: (message) => socket?.tell(message) };
const signal = new Signal(proxy);
globalThis.rt_decoder = { signal, words, events }; // for those who look inside

function restart() {
  offline(false);
  if (watching) proxy.tell({ watch: watching });
  signal.ask();
  seen();
}

// A page that nobody sees is told the states, once a second, for its title.
function seen() {
  proxy.tell({ seen: !document.hidden });
}

function offline(is) {
  document.body.classList.toggle("offline", is);
  if (is) warn("This page has lost its server. What you see is old. Start rt-decoder dashboard again: the page finds it.");
  else warn("");
}

function warn(text) {
  const box = $("#warning");
  box.hidden = !text;
  say(box, text);
}

function take(message) {
  if (message.type === "advice") { advice = message.advice; words.reasons = advice.reasons; }
  else if (message.type === "decoders") { decoders = message.decoders; listDecoders(); }
  else if (message.type === "watching") watch(message.id);
  else if (message.type === "channels") { signal.channels(message.channels); boxes(); }
  else if (message.type === "view") show(message);
}

function watch(id) {
  watching = id;
  words.clear(); events.clear();
  signal.all = []; signal.rings = {};
  listDecoders();
}

function listDecoders() {
  const menu = $("#decoder");
  const shown = decoders.length ? decoders : [{ id: "", name: "no decoder" }];
  menu.replaceChildren(...shown.map((one) => {
    const more = [one.stream && `of ${one.stream}`, one.ended && "ended"].filter(Boolean).join(", ");
    return make("option", { value: one.id, text: more ? `${one.name} (${more})` : one.name });
  }));
  menu.value = watching;
  const one = decoders.find((other) => other.id === watching);
  say($("#source"), decoders.length > 1 ? `${decoders.filter((other) => !other.ended).length} of ${counted(decoders.length, "decoder")} run` : "");
  model(one);
  if (!decoders.length) waiting();
}

function waiting() {
  state("stream", "WAITING", "idle", "no decoder is seen", "start rt-decoder run: it is found by itself");
  state("fit", "–", "idle", "", "");
  words.draw();
  score(undefined); losses({}, 0); artifacts({}, [], {});
  latency({ counts: [0] }, {});
}

function state(id, word, level, told, fix) {
  const box = $(`#${id}`);
  box.dataset.level = level;
  say($(".big", box), word); say($(".told", box), told); say($(".fix", box), fix ?? "");
}

function show(one) {
  view = one;
  const [said, fix] = advice.states[one.state] ?? ["", ""];
  const paused = one.status.paused && one.state !== "ended";
  state("stream", paused ? "PAUSED" : one.state.toUpperCase(), paused ? "warn" : LEVELS[one.state] ?? "bad",
    paused ? "the experiment has paused readouts" : said, paused ? "" : fix);
  const unlike = one.fit === "unlike" || one.fit === "doubtful" ? one.status.unlike : null;
  const [fitSaid, fitFix] = advice.fits[one.fit] ?? ["", ""];
  state("fit", one.fit.toUpperCase(), one.state === "ended" ? "idle" : LEVELS[one.fit] ?? "bad",
    unlike?.explanation ?? fitSaid, unlike?.fix ?? fitFix);
  words.take(one.words); events.take(one.events);
  score(one.status.score); latency(one.bins, one.status); losses(one.status, one.garbled);
  artifacts(one.artifacts, one.reasons, advice.reasons);
  signal.mark(one.status.bad, one.status.channels);
  const word = words.rows[0];
  const title = `${$("#stream .big").textContent}${word && !word.abstained ? ` · ${word.word}` : ""} – rt_decoder`;
  if (document.title !== title) document.title = title;
}

// channels

function boxes() {
  const box = $("#boxes");
  if (isNews(box, signal.all)) {
    box.replaceChildren(...signal.all.map((name, k) => {
      const tick = make("input", { type: "checkbox", "data-k": k });
      return make("label", {}, tick, make("span", { text: name }));
    }));
  }
  for (const tick of box.querySelectorAll("input")) tick.checked = signal.names.includes(signal.all[tick.dataset.k]);
  say($("#n-chosen"), `${signal.names.length} of ${signal.all.length}, 32 at most`);
}

$("#boxes").addEventListener("change", () => {
  const ticked = [...$("#boxes").querySelectorAll("input:checked")];
  signal.choose(ticked.map((tick) => signal.all[tick.dataset.k]));
  boxes();
});

// keys and buttons

function pause() {
  const on = !signal.paused;
  signal.paused = words.paused = on;
  $("#pause").setAttribute("aria-pressed", on);
  say($("#pause"), on ? "Go on" : "Pause");
  $("#paused").hidden = !on;
  if (!on) { words.draw(); signal.draw(true); }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";
try { theme = localStorage.getItem("theme") ?? "auto"; } catch { /* a browser that keeps nothing */ }

function paint() {
  if (!THEMES.includes(theme)) theme = "auto";
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  say($("#theme"), `Theme: ${theme}`);
  signal.build(); signal.draw();
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  try { localStorage.setItem("theme", theme); } catch { /* as above */ }
  paint();
}

function nextDecoder() {
  if (!decoders.length) return;
  const at = decoders.findIndex((one) => one.id === watching);
  choose(decoders[(at + 1) % decoders.length].id);
}

function choose(id) {
  proxy.tell({ watch: id });
}

function open(id) {
  const box = $(id);
  if (!box.open) box.showModal();
}

const KEYS = {
  " ": pause, c: () => open("#chooser"), "[": () => { signal.page(-1); boxes(); }, "]": () => { signal.page(1); boxes(); },
  "+": () => signal.scale(1), "=": () => signal.scale(1), "-": () => signal.scale(-1), 0: () => signal.scale(0),
  t: nextTheme, d: nextDecoder, "?": () => open("#keys"),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea, dialog");
  const pressing = event.key === " " && event.target.closest?.("button"); // the button's own key
  if (typing || pressing || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
$("#pause").addEventListener("click", pause);
$("#pick-channels").addEventListener("click", () => open("#chooser"));
$("#theme").addEventListener("click", nextTheme);
$("#help").addEventListener("click", () => open("#keys"));
$("#decoder").addEventListener("change", (event) => choose(event.target.value));
dark.addEventListener("change", paint);
document.addEventListener("visibilitychange", () => { seen(); if (!document.hidden && !signal.paused) signal.draw(true); });

paint();
waiting();
socket = new Socket();

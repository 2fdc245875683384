// Raw and cleaned traces, one row a channel: axes by uPlot, lines on paper that moves.

import { $, isNews, make, say } from "./dom.js";
import { Paper } from "./paper.js";
import { Ring } from "./ring.js";

const RAW = 0, CLEAN = 1;
const WINDOW = 10; // s that are shown
const SILENT = 0.6; // s
const FRAME_MS = 100, SCALE_MS = 1000;
const STEPS = [1, 2, 5];
const OFF = 0.15; // rows by which a trace may leave its middle until all are drawn anew
const REACH = 0.95; // rows that a trace may leave its middle at most

export class Signal {
  constructor(socket) {
    this.socket = socket;
    this.names = []; this.all = []; this.choice = 0; this.unit = "";
    this.rings = {}; this.wrong = {};
    this.paused = false; this.zoom = 0; this.spacing = 100;
    this.means = {}; this.scaledAt = 0; this.isScaled = false;
    this.frames = 0; this.drawn = 0; this.dirty = false;
    this.arrived = -Infinity; this.lead = -Infinity; // when a frame came; the stream's clock less ours
    this.chart = null;
    new ResizeObserver(() => this.resized()).observe($("#chart"));
    setInterval(() => this.tick(), FRAME_MS);
  }

  // What the decoder says of its channels.
  channels(told) {
    this.told = told; this.unit = told.unit;
    if (told.names.join("\n") !== this.all.join("\n")) {
      this.all = told.names;
      this.choose(this.all.slice(0, 8));
    }
    const said = [told.clean_problem, told.raw_problem && `Raw is not shown: ${told.raw_problem}.`];
    say($("#signal-told"), said.filter(Boolean).join(" "));
  }

  choose(names) {
    this.names = this.all.filter((name) => names.includes(name)).slice(0, 32);
    this.choice++;
    this.rings = {};
    this.means = {}; this.scaledAt = 0; this.isScaled = false;
    this.arrived = this.lead = -Infinity;
    this.ask();
    this.build();
    this.label();
    this.dirty = true;
  }

  ask() {
    this.socket.tell({ choice: this.choice, channels: this.names });
  }

  page(step) {
    const n = Math.max(1, this.names.length || 8);
    const first = this.all.indexOf(this.names[0]);
    const to = Math.max(0, Math.min(first + step * n, this.all.length - 1));
    this.choose(this.all.slice(to, to + Math.max(n, 8)));
  }

  scale(step) {
    this.zoom = step === 0 ? 0 : this.zoom + step;
    this.draw(true);
  }

  take(buffer) {
    const head = new DataView(buffer);
    const kind = head.getUint8(0), c = head.getUint16(2, true), n = head.getUint32(4, true);
    if (head.getUint8(1) !== 1 || (head.getUint32(8, true)) !== this.choice) return;
    const times = new Float64Array(buffer, 16, n);
    const channels = Array.from({ length: c }, (_, k) => new Float32Array(buffer, 16 + 8 * n + 4 * n * k, n));
    if (!this.rings[kind]) { this.rings[kind] = new Ring(c); this.scaledAt = 0; }
    this.rings[kind].add(times, channels);
    this.frames++;
    this.dirty = true;
    this.arrived = performance.now();
    this.lead = Math.max(this.lead, times[n - 1] - this.arrived / 1000);
  }

  mark(bad, channels) {
    this.wrong = {};
    for (const [name, event] of Object.entries(channels ?? {})) this.wrong[name] = event.replace("channel_", "");
    for (const [name, reasons] of Object.entries(bad ?? {})) this.wrong[name] = reasons.join(", ");
    this.label();
  }

  label() {
    const rows = $("#names");
    if (isNews(rows, [this.names, this.wrong])) {
      rows.replaceChildren(...this.names.map((name) => {
        const row = make("li", { text: name, title: name });
        if (this.wrong[name]) {
          row.className = "wrong";
          row.append(make("small", { text: this.wrong[name] }));
        }
        return row;
      }));
    }
    const chips = Object.entries(this.wrong).map(([name, why]) => make("li", { text: `${name}: ${why}` }));
    if (!chips.length && this.names.length && this.told?.has_clean)
      chips.push(make("li", { class: "ok", text: "no bad channel" }));
    if (isNews($("#bad"), chips.map((one) => one.textContent))) $("#bad").replaceChildren(...chips);
  }

  build() {
    this.chart?.destroy();
    const box = $("#chart"), style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    this.colors = { raw: color("--raw"), clean: color("--clean"), flag: color("--flag") };
    const size = { width: Math.max(50, box.clientWidth), height: Math.max(50, box.clientHeight) };
    this.chart = new uPlot({
      ...size, series: [{}, { show: false }], legend: { show: false }, cursor: { show: false }, padding: [0, 18, 0, 18],
      scales: { x: { time: false, range: [-WINDOW, 0] }, y: { range: [0, 1] } },
      axes: [
        { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, size: 30,
          values: (_, at) => at.map((v) => `${v} s`) },
        { show: false },
      ],
    }, [[-WINDOW, 0], [null, null]], box);
    const canvas = make("canvas", { class: "traces" });
    this.chart.over.append(canvas);
    this.paper = new Paper(canvas, WINDOW);
    this.dirty = true;
  }

  tick() {
    if (!this.paused && (this.dirty || this.silent > 0) && !document.hidden) this.draw();
  }

  // s without a sample; 0 as long as they come. What is old moves away: it does not look like now.
  get silent() {
    const seconds = (performance.now() - this.arrived) / 1000;
    return seconds > SILENT && seconds < 1e6 ? seconds : 0;
  }

  // Draw what is new, or all of it anew.
  draw(all = false) {
    if (!this.chart || !this.names.length) return;
    this.dirty = false;
    const clean = this.rings[CLEAN], raw = this.rings[RAW];
    const newest = Math.max(clean?.newest ?? -Infinity, raw?.newest ?? -Infinity);
    if (newest === -Infinity) return;
    const end = this.silent ? Math.max(newest, performance.now() / 1000 + this.lead) : newest;
    const { width, height } = this.chart.bbox;
    if (this.paper.resize(Math.round(width), Math.round(height))) all = true;
    if (performance.now() - this.scaledAt > SCALE_MS && this.fitScale(end - WINDOW)) all = true;
    const layers = [];
    if (raw) layers.push({ ring: raw, color: this.colors.raw, width: devicePixelRatio, rows: this.rows(RAW) });
    if (clean) layers.push({ ring: clean, color: this.colors.clean, width: 1.4 * devicePixelRatio, rows: this.rows(CLEAN) });
    const flags = clean && { ring: clean, channel: this.names.length, color: this.colors.flag };
    this.paper.draw(end, layers, flags, all);
    say($("#age"), this.silent ? `last sample ${Math.round(this.silent)} s ago` : "");
    const size = this.size;
    say($("#scale"), `row ${size < 10 ? size.toPrecision(2) : Math.round(size)} ${short(this.unit)}`);
    this.drawn++;
  }

  // What a row is worth.
  get size() {
    return this.spacing * Math.pow(1.5, -this.zoom);
  }

  rows(kind) {
    const height = this.paper.canvas.height / this.names.length;
    return this.names.map((_, k) => (
      { place: (k + 0.5) * height, mean: this.means[kind]?.[k] ?? 0, scale: height / this.size, reach: REACH * height }));
  }

  // So that usual activity fills a row, in steps of 1, 2, 5, and lies in its middle; whether that moved.
  fitScale(since) {
    const sizes = [], means = {};
    for (const kind of this.rings[CLEAN] ? [RAW, CLEAN] : [RAW]) {
      const found = this.rings[kind] ? this.names.map((_, k) => this.rings[kind].spread(k, since)) : [];
      means[kind] = found.map((one) => one.mean);
      if (kind === CLEAN || !this.rings[CLEAN]) sizes.push(...found.flatMap((one) => one.sizes));
    }
    if (sizes.length >= 50) {
      this.scaledAt = performance.now();
      sizes.sort((a, b) => a - b);
      const wanted = 2.2 * sizes[Math.floor(0.95 * sizes.length)] || 1;
      const spacing = this.spacing;
      if (!(wanted > 0.5 * spacing && wanted < spacing && this.isScaled)) {
        const decade = Math.pow(10, Math.floor(Math.log10(wanted)));
        this.spacing = decade * (STEPS.find((step) => step * decade >= wanted) ?? 10);
        this.isScaled = true;
        if (this.spacing !== spacing) this.means = {};
      }
    }
    const off = (kind, k) => Math.abs(means[kind][k] - (this.means[kind]?.[k] ?? Infinity)) > OFF * this.size;
    const moved = Object.keys(means).some((kind) => means[kind].some((_, k) => off(kind, k)));
    if (moved) this.means = means;
    return moved;
  }

  resized() {
    const box = $("#chart");
    if (!this.chart || !box.clientWidth) return;
    this.chart.setSize({ width: box.clientWidth, height: box.clientHeight });
    this.dirty = true;
  }
}

const short = (unit) => ({ microvolts: "µV", femtotesla: "fT", volts: "V", "n/a": "" })[unit] ?? unit;

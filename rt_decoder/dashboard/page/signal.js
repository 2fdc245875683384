// Raw and cleaned traces: a ring for each, drawn by uPlot, one row a channel.

import { $, make, say } from "./dom.js";

const RAW = 0, CLEAN = 1;
const WINDOW = 10, GRID = 250; // s that are shown; points a second
const ROWS = 6000; // samples that a ring holds: 20 s at 250 Hz, and some
const SILENT = 0.6; // s
const FRAME_MS = 66, SCALE_MS = 1000;
const STEPS = [1, 2, 5];

class Ring {
  constructor(nChannels) {
    this.times = new Float64Array(ROWS);
    this.data = Array.from({ length: nChannels }, () => new Float32Array(ROWS));
    this.n = 0;
  }

  add(times, channels) {
    for (let k = 0; k < times.length; k++) {
      const at = this.n % ROWS;
      this.times[at] = times[k];
      for (let c = 0; c < channels.length; c++) this.data[c][at] = channels[c][k];
      this.n++;
    }
  }

  get newest() {
    return this.n ? this.times[(this.n - 1) % ROWS] : -Infinity;
  }

  // Put a channel on a grid that ends at `end`; gaps of the stream stay open.
  onto(channel, end, out) {
    out.fill(null);
    const values = this.data[channel], first = Math.max(0, this.n - ROWS);
    let lastPlace = -1, lastValue = 0, lastTime = 0, sum = 0, count = 0;
    const usual = this.usual();
    for (let k = first; k < this.n; k++) {
      const at = k % ROWS, time = this.times[at];
      const place = Math.floor((time - end + WINDOW) * GRID);
      if (place < 0 || place >= out.length) continue;
      const value = values[at];
      if (Number.isNaN(value)) { lastPlace = -1; continue; }
      if (lastPlace >= 0 && time - lastTime < 3 * usual)
        for (let p = lastPlace + 1; p < place; p++)
          out[p] = lastValue + ((value - lastValue) * (p - lastPlace)) / (place - lastPlace);
      out[place] = value;
      sum += value; count++;
      lastPlace = place; lastValue = value; lastTime = time;
    }
    return count ? sum / count : 0;
  }

  usual() {
    const m = Math.min(this.n, 200);
    if (m < 2) return 0.1;
    return Math.max(0.004, (this.newest - this.times[(this.n - m) % ROWS]) / (m - 1));
  }
}

export class Signal {
  constructor(socket) {
    this.socket = socket;
    this.names = []; this.all = []; this.choice = 0; this.unit = "";
    this.rings = {}; this.wrong = {};
    this.paused = false; this.zoom = 0; this.spacing = 100; this.scaledAt = 0;
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
    this.scaledAt = 0;
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
    this.dirty = true;
    this.draw();
  }

  take(buffer) {
    const head = new DataView(buffer);
    const kind = head.getUint8(0), c = head.getUint16(2, true), n = head.getUint32(4, true);
    if (head.getUint8(1) !== 1 || (head.getUint32(8, true)) !== this.choice) return;
    const times = new Float64Array(buffer, 16, n);
    const channels = Array.from({ length: c }, (_, k) => new Float32Array(buffer, 16 + 8 * n + 4 * n * k, n));
    this.rings[kind] ??= new Ring(c);
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
    const key = JSON.stringify([this.names, this.wrong]);
    if (rows.dataset.key !== key) {
      rows.dataset.key = key;
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
    const list = $("#bad"), said = chips.map((one) => one.textContent).join("\n");
    if (list.dataset.key !== said) { list.dataset.key = said; list.replaceChildren(...chips); }
  }

  build() {
    this.chart?.destroy();
    const box = $("#chart"), style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const size = { width: Math.max(50, box.clientWidth), height: Math.max(50, box.clientHeight) };
    const series = [{}];
    for (const [kind, width] of [["--raw", 1], ["--clean", 1.4]])
      for (const name of this.names) series.push({ label: name, stroke: color(kind), width, points: { show: false } });
    const n = this.names.length;
    this.grid = Float64Array.from({ length: WINDOW * GRID }, (_, k) => k / GRID - WINDOW);
    this.columns = Array.from({ length: 2 * n }, () => new Array(WINDOW * GRID).fill(null));
    this.quality = new Array(WINDOW * GRID).fill(null);
    this.chart = new uPlot({
      ...size, series, legend: { show: false }, cursor: { show: false }, padding: [0, 18, 0, 18],
      scales: { x: { time: false, range: [-WINDOW, 0] }, y: { range: [-0.5, Math.max(1, n) - 0.5] } },
      axes: [
        { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, size: 30,
          values: (_, at) => at.map((v) => `${v} s`) },
        { show: false },
      ],
      hooks: { drawClear: [(u) => this.shade(u, color("--flag"))] },
    }, [this.grid, ...this.columns], box);
  }

  // Where samples are flagged, behind the traces.
  shade(u, fill) {
    const { left, top, width, height } = u.bbox;
    u.ctx.fillStyle = fill;
    let first = -1;
    for (let k = 0; k <= this.quality.length; k++) {
      const flagged = k < this.quality.length && this.quality[k] !== null && this.quality[k] < 0.5;
      if (flagged && first < 0) first = k;
      if (!flagged && first >= 0) {
        const x = left + (width * first) / this.quality.length;
        u.ctx.fillRect(x, top, Math.max(1, (width * (k - first)) / this.quality.length), height);
        first = -1;
      }
    }
  }

  tick() {
    if (!this.paused && (this.dirty || this.silent > 0) && !document.hidden) this.draw();
  }

  // s without a sample; 0 as long as they come. What is old moves away: it does not look like now.
  get silent() {
    const seconds = (performance.now() - this.arrived) / 1000;
    return seconds > SILENT && seconds < 1e6 ? seconds : 0;
  }

  draw() {
    if (!this.chart || !this.names.length) return;
    this.dirty = false;
    const clean = this.rings[CLEAN], raw = this.rings[RAW], n = this.names.length;
    const newest = Math.max(clean?.newest ?? -Infinity, raw?.newest ?? -Infinity);
    const end = this.silent ? Math.max(newest, performance.now() / 1000 + this.lead) : newest;
    const means = [raw, clean].flatMap((ring, r) =>
      this.names.map((_, k) => (ring ? ring.onto(k, end, this.columns[r * n + k]) : 0)));
    if (clean) clean.onto(n, end, this.quality);
    if (performance.now() - this.scaledAt > SCALE_MS) this.fitScale(means, clean ? n : 0);
    const spacing = this.spacing * Math.pow(1.5, -this.zoom);
    this.columns.forEach((column, j) => {
      const row = n - 1 - (j % n);
      for (let k = 0; k < column.length; k++)
        if (column[k] !== null)
          column[k] = row + Math.max(-0.95, Math.min(0.95, (column[k] - means[j]) / spacing));
    });
    this.chart.setData([this.grid, ...this.columns]);
    say($("#age"), this.silent ? `last sample ${Math.round(this.silent)} s ago` : "");
    say($("#scale"), `row ${spacing < 10 ? spacing.toPrecision(2) : Math.round(spacing)} ${short(this.unit)}`);
    this.drawn++;
  }

  // So that usual activity fills a row, in steps of 1, 2, 5.
  fitScale(means, first) {
    const sizes = [];
    for (let j = first; j < first + this.names.length; j++) {
      const column = this.columns[j];
      for (let k = 0; k < column.length; k += 7) if (column[k] !== null) sizes.push(Math.abs(column[k] - means[j]));
    }
    if (sizes.length < 50) return;
    sizes.sort((a, b) => a - b);
    const wanted = 2.2 * sizes[Math.floor(0.95 * sizes.length)] || 1;
    if (wanted > 0.5 * this.spacing && wanted < this.spacing && this.scaledAt) { this.scaledAt = performance.now(); return; }
    const decade = Math.pow(10, Math.floor(Math.log10(wanted)));
    this.spacing = decade * (STEPS.find((step) => step * decade >= wanted) ?? 10);
    this.scaledAt = performance.now();
  }

  resized() {
    const box = $("#chart");
    if (this.chart && box.clientWidth) this.chart.setSize({ width: box.clientWidth, height: box.clientHeight });
  }
}

const short = (unit) => ({ microvolts: "µV", femtotesla: "fT", volts: "V", "n/a": "" })[unit] ?? unit;

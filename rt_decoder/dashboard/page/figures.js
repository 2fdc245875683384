// Score, latency, losses, artifacts, model and events.

import { $, chance, clock, counted, digits, isNews, make, say, svg } from "./dom.js";

function list(box, rows) {
  if (!isNews(box, rows)) return;
  box.replaceChildren(...rows.flatMap(([name, value, wrong, title]) => [
    make("dt", { text: name, title }), make("dd", { text: String(value), class: wrong ? "wrong" : "fine", title }),
  ]));
}

const SCORES = [["rank", "rank accuracy", 2, 1], ["top_1", "first is right", 2, 1], ["top_10", "among ten", 2, 1], ["bits_per_minute", "bits a minute", 1, null]];

export function score(told) {
  const box = $("#score");
  if (!isNews(box, told ?? null)) return;
  say($(".verdict", box), told?.n ? told.verdict : "no event whose truth is known");
  say($(".small", box), told?.n
    ? `${counted(told.n, "event")}; p ${chance(told.p)} that answers know nothing of truths, at any time; bars: 95 % intervals, │ chance`
    : "needs markers that name the item, or truths told by the experiment");
  const rows = SCORES.filter(([name]) => told?.[name]);
  const drawn = svg("svg", { viewBox: `0 0 360 ${34 * rows.length}`, role: "img", "aria-label": "scores" });
  rows.forEach(([name, title, n, most], k) => {
    const { value, low, high, chance: null_ } = told[name], y = 34 * k + 23;
    const top = most ?? Math.max(1, 1.2 * (high ?? value), 1.2 * value), bottom = most ? 0 : Math.min(0, low ?? 0, value);
    const x = (v) => 118 + (190 * (Math.max(bottom, Math.min(top, v)) - bottom)) / (top - bottom);
    drawn.append(
      svg("text", { x: 0, y: y + 4, class: "dim" }, title),
      svg("line", { x1: 118, x2: 308, y1: y, y2: y, stroke: "var(--line)", "stroke-width": 2 }),
    );
    if (low !== null && high !== null)
      drawn.append(svg("line", { x1: x(low), x2: x(high), y1: y, y2: y, stroke: "var(--clean)", "stroke-width": 7, opacity: 0.45 }));
    drawn.append(
      svg("line", { x1: x(null_), x2: x(null_), y1: y - 11, y2: y + 11, stroke: "var(--ink)", "stroke-width": 2 }),
      svg("circle", { cx: x(value), cy: y, r: 5.5, fill: "var(--clean)" }),
      svg("text", { x: 356, y: y + 4, "text-anchor": "end", "font-weight": 650 }, digits(value, n)),
    );
  });
  $(".rows", box).replaceChildren(...(rows.length ? [drawn] : []));
}

export function latency(bins, status) {
  const box = $("#latency"), figures = status.latency_ms ?? {}, budget = status.budget_ms;
  if (!isNews(box, [bins, figures, budget, status.n_late])) return;
  const counts = bins.counts, most = Math.max(...counts);
  const late = status.n_late ?? 0;
  say($(".verdict", box), most ? `p50 ${digits(figures.p50)} ms, p99 ${digits(figures.p99)} ms` : "no readout so far");
  say($(".small", box), most ? `newest sample to readout; largest ${digits(figures.max)} ms; ${late} over the budget of ${budget ?? "?"} ms` : "");
  if (!most) { $(".bars", box).replaceChildren(); return; }
  const edge = (k) => bins.lowest_ms * Math.pow(10, k / bins.per_decade);
  const place = (ms) => bins.per_decade * Math.log10(ms / bins.lowest_ms);
  const last = Math.max(counts.findLastIndex((n) => n > 0) + 2, budget ? Math.ceil(place(budget)) + 2 : 0);
  const width = 360 / Math.min(last, counts.length);
  const drawn = svg("svg", { viewBox: "0 0 360 122", role: "img", "aria-label": "histogram of latencies" });
  for (let k = 0; k < Math.min(last, counts.length); k++) {
    if (counts[k]) {
      const height = Math.max(2, 82 * Math.sqrt(counts[k] / most));
      const over = budget && edge(k) >= budget;
      drawn.append(svg("rect", { x: k * width + 0.5, y: 98 - height, width: Math.max(1, width - 1), height, fill: over ? "var(--bad)" : "var(--clean)" }));
    }
    if (k % bins.per_decade === 0)
      drawn.append(svg("text", k * width > 310 ? { x: 360, y: 116, class: "dim", "text-anchor": "end" } : { x: k * width + 2, y: 116, class: "dim" }, `${Number(edge(k).toPrecision(1))} ms`));
  }
  drawn.append(svg("line", { x1: 0, x2: 360, y1: 98, y2: 98, stroke: "var(--line)" }));
  if (budget) {
    const x = place(budget) * width;
    drawn.append(
      svg("line", { x1: x, x2: x, y1: 4, y2: 98, stroke: "var(--ink)", "stroke-width": 2, "stroke-dasharray": "5 4" }),
      svg("text", { x: x - 5, y: 14, "text-anchor": "end" }, `budget ${budget} ms`),
    );
  }
  $(".bars", box).replaceChildren(drawn);
}

export function losses(status, garbled) {
  const counts = status.counts ?? {};
  list($("#losses dl"), [
    ["readouts", status.n_readouts ?? 0], ["of them abstained", counts.abstained ?? 0],
    ["late", status.n_late ?? 0, status.n_late],
    ["lost samples", counts.lost_samples ?? 0, counts.lost_samples],
    ["skipped samples", counts.skipped_samples ?? 0, counts.skipped_samples],
    ["markers without readout", counts.markers_lost ?? 0, counts.markers_lost],
    ["unknown markers", counts.markers_unknown ?? 0, counts.markers_unknown],
    ["stream lost", counts.lost ?? 0, counts.lost],
    ["lines dropped", status.n_dropped ?? 0, status.n_dropped],
    ...(status.errors ?? []).map((error) => ["not written", error, true]),
    ...(garbled ? [["unreadable messages", garbled, true]] : []),
  ]);
}

export function artifacts(counts, now, advice) {
  const rows = Object.entries(counts ?? {}).sort((a, b) => b[1] - a[1]);
  list($("#artifacts dl"), rows.map(([name, n]) => [name.replaceAll("_", " "), n, false, advice[name]?.[0]]));
  say($("#artifacts .small"), !counts
    ? "start the decoder with --clean-outlet NAME to count them"
    : !now ? "no change since this page's server began to listen"
    : now.length ? `now: ${now.map((name) => name.replaceAll("_", " ")).join(", ")}` : "the signal is good now");
}

export function model(decoder) {
  const facts = decoder?.facts ?? {}, proof = facts.certificate ?? {};
  const says = !decoder?.model ? "" : decoder.forced ? `not proven: ${decoder.forced}` : facts.unproven ? `not proven: ${facts.unproven}`
    : facts.n_items ? "proven on events it had never seen" : "cleans only";
  say($("#model .verdict"), says);
  list($("#model dl"), !decoder?.model ? [] : [
    ...(proof.rank_accuracy === undefined ? [] : [["rank accuracy", `${digits(proof.rank_accuracy, 3)} (chance .5)`], ["tested", `${counted(proof.n, "event")}, p ${chance(proof.p)}`]]),
    ...(proof.top1 === undefined ? [] : [["first is right", `${digits(proof.top1)} (chance ${digits(proof.chance_top1)})`]]),
    ["items", facts.n_items ?? "–"],
    ["window", facts.window_s ? `${facts.window_s.join(" to ")} s after the onset` : "–"],
    ["channels", facts.n_channels ? `${facts.n_channels} at ${facts.sfreq} Hz` : "–"],
    ["cleaning", facts.stages?.length ? facts.stages.join(", ") : "none fitted"],
    ["fitted", facts.fitted || "–"], ["model", decoder.model],
  ]);
}

const MOST = 60, LONGEST = 160;  // events; characters of a detail
const short = (text) => text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;

export class Events {
  constructor() { this.rows = []; }

  clear() { this.rows = []; $("#events ol").replaceChildren(); }

  take(rows) {
    if (!rows.length) return;
    this.rows = [...rows].reverse().concat(this.rows).slice(0, MOST);
    $("#events ol").replaceChildren(...this.rows.map((one) => {
      const details = Object.entries(one.details).map(([name, value]) => `${name} ${short(String(value))}`).join(", ");
      const row = make("li", { class: one.fix ? "wrong" : "fine" },
        make("b", { text: one.event.replaceAll("_", " ") }), make("span", { class: "dim", text: clock(one.at) }),
        make("div", { text: [one.explanation, details].filter(Boolean).join(": ") }));
      if (one.fix) row.append(make("div", { class: "fix", text: one.fix }));
      return row;
    }));
  }
}

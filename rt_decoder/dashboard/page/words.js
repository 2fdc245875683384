// The last word, large, and those before it.

import { $, clock, counted, digits, make, say } from "./dom.js";

const MOST = 40;

export class Words {
  constructor() {
    this.rows = []; this.paused = false; this.reasons = {};
    this.made = new Map(); // row: its element
  }

  clear() {
    this.rows = [];
    this.draw();
  }

  take(rows) {
    for (const row of rows) {
      const at = this.rows.findIndex((one) => one.seq === row.seq && one.kind === row.kind);
      if (at >= 0) this.rows[at] = row;
      else this.rows.unshift(row);
    }
    this.rows.length = Math.min(this.rows.length, MOST);
    if (rows.length && !this.paused) this.draw();
  }

  why(row) {
    return row.reasons.map((name) => `${name}: ${this.reasons[name]?.[0] ?? "no explanation"}`).join("; ");
  }

  draw() {
    this.large(this.rows[0]);
    const made = new Map(this.rows.map((row) => [row, this.made.get(row) ?? this.row(row)])), body = $("#words tbody");
    for (const [row, element] of this.made) if (!made.has(row)) element.remove();
    let at = body.firstChild;
    for (const element of made.values()) {
      if (element === at) at = at.nextSibling;
      else body.insertBefore(element, at); // those that stay are not moved
    }
    this.made = made;
  }

  large(row) {
    const big = $("#word-big");
    big.className = "big";
    say($("#word-kind"), row ? `${clock(row.at)} ${kind(row)}` : "");
    if (!row) {
      big.replaceChildren("–");
      say($("#word-told"), "no readout so far");
      $("#word-others").replaceChildren();
      return;
    }
    const fix = row.reasons.map((name) => this.reasons[name]?.[1]).find(Boolean);
    if (row.abstained) {
      big.classList.add("abstained");
      big.replaceChildren("abstained");
      say($("#word-told"), `${row.truth ? `it was ${row.truth}; ` : ""}${reasons(row)}${fix ? ` → ${fix}` : ""}`);
    } else {
      big.replaceChildren(row.word, make("span", { class: "p", text: digits(row.p) }));
      const told = $("#word-told");
      told.replaceChildren(row.truth ? truth(row) : make("span", { class: "dim", text: row.label ? `marker ${row.label}` : "truth not known" }));
    }
    const others = row.abstained && row.word ? [[row.word, row.p], ...row.others] : row.others;
    $("#word-others").replaceChildren(...others.slice(0, 3).map(([word, p]) => make("li", { text: `${word} ${digits(p)}` })));
  }

  row(row) {
    const made = make("tr", { title: this.why(row) });
    if (row.abstained) made.className = "abstained";
    const word = make("td", { class: "word", text: row.abstained ? `abstained: ${reasons(row)}` : row.word });
    if (row.kind !== "event") word.append(make("small", { class: "dim", text: ` ${kind(row)}` }));
    if (row.late) word.append(make("small", { class: "miss", text: " late" }));
    const bar = make("i");
    bar.style.width = `${Math.round(100 * (row.p ?? 0))}%`;
    const share = make("td", { class: "share-cell" }, make("span", { class: "share" }, bar), digits(row.p));
    const others = row.abstained && row.word ? [[row.word, row.p], ...row.others] : row.others;
    made.append(
      make("td", { class: "time", text: clock(row.at) }), word, share,
      make("td", { class: "others", text: others.slice(0, 3).map(([w, p]) => `${w} ${digits(p)}`).join(" · ") }),
      make("td", { class: "truth" }, row.truth ? truth(row) : ""),
    );
    return made;
  }
}

const reasons = (row) => row.reasons.join(", ").replaceAll("_", " ") || "uncertain";

function truth(row) {
  if (row.abstained) return make("span", { class: "dim", text: row.truth });
  return make("span", { class: row.hit ? "hit" : "miss", text: row.hit ? `✓ ${row.truth}` : `✗ ${row.truth}` });
}

function kind(row) {
  if (row.kind === "pooled") return `of ${counted(row.n_repeats, "repeat")}`;
  if (row.kind === "anytime") return `by ${row.until} s${row.committed ? `, kept ${row.committed}` : ""}`;
  return row.kind === "continuous" ? "every hop" : "";
}

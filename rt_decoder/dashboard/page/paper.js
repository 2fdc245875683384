// Traces on paper that moves to the left: what is on it moves along, only what is new is drawn.
//
// To draw all points of all traces for each picture took half a processor where no graphics card helps.

const REACH = 2; // pixels by which a line may reach beyond its points

export class Paper {
  constructor(canvas, seconds) {
    this.canvas = canvas; this.seconds = seconds;
    this.pen = canvas.getContext("2d");
    this.end = -Infinity; // time at the right edge
    this.upto = new Map(); // ring: number of its samples that are drawn
  }

  // Whether the paper had another size.
  resize(width, height) {
    const changed = this.canvas.width !== width || this.canvas.height !== height;
    if (changed) { this.canvas.width = width; this.canvas.height = height; }
    return changed;
  }

  get rate() {
    return this.canvas.width / this.seconds;
  }

  x(time) {
    return this.canvas.width - (this.end - time) * this.rate;
  }

  // Show what there is up to `end`. Layers are `{ ring, color, width, rows }`: of each channel of the ring
  // its `{ place, mean, scale }`, in pixels; `flags` is `{ ring, channel, color }`.
  draw(end, layers, flags, all = false) {
    const { width, height } = this.canvas;
    const shift = Math.floor((end - this.end) * this.rate);
    all ||= !(shift >= 0 && shift < width);
    if (all) this.end = end;
    else if (shift > 0) { this.move(shift); this.end += shift / this.rate; }
    const left = all ? 0 : Math.max(0, Math.min(width - shift, ...layers.map((one) => this.fresh(one.ring))));
    const pen = this.pen;
    pen.save();
    pen.beginPath(); pen.rect(left, 0, width - left, height); pen.clip();
    pen.clearRect(left, 0, width - left, height);
    const since = this.end - (width - left + REACH) / this.rate;
    if (flags) this.shade(flags, since);
    for (const one of layers) this.trace(one, since);
    pen.restore();
    this.upto = new Map(layers.map(({ ring }) => [ring, ring.n]));
  }

  move(shift) {
    this.pen.globalCompositeOperation = "copy";
    this.pen.drawImage(this.canvas, -shift, 0);
    this.pen.globalCompositeOperation = "source-over";
  }

  // From which pixel on a ring has something new.
  fresh(ring) {
    const upto = this.upto.get(ring) ?? 0;
    if (upto === ring.n) return Infinity;
    return upto ? Math.floor(this.x(ring.time(upto - 1))) - REACH : 0;
  }

  trace({ ring, color, width, rows }, since) {
    const pen = this.pen, first = Math.max(ring.since(since) - 1, ring.oldest), apart = 3 * ring.usual();
    pen.strokeStyle = color; pen.lineWidth = width; pen.lineJoin = "bevel";
    rows.forEach(({ place, mean, scale, reach }, channel) => {
      pen.beginPath();
      let last = -Infinity;
      for (let k = first; k < ring.n; k++) {
        const time = ring.time(k), value = ring.value(channel, k);
        if (Number.isNaN(value)) { last = -Infinity; continue; }
        const y = place - Math.max(-reach, Math.min(reach, (value - mean) * scale));
        if (time - last < apart) pen.lineTo(this.x(time), y);
        else pen.moveTo(this.x(time), y); // a gap of the stream stays open
        last = time;
      }
      pen.stroke();
    });
  }

  // Where samples are flagged, behind the traces.
  shade({ ring, channel, color }, since) {
    const usual = ring.usual();
    this.pen.fillStyle = color;
    let first = null;
    for (let k = Math.max(ring.since(since) - 1, ring.oldest); k <= ring.n; k++) {
      const flagged = k < ring.n && ring.value(channel, k) < 0.5;
      if (flagged && first === null) first = ring.time(k);
      if (!flagged && first !== null) {
        const x = Math.round(this.x(first)), to = Math.round(this.x(ring.time(k - 1) + usual));
        this.pen.fillRect(x, 0, Math.max(1, to - x), this.canvas.height);
        first = null;
      }
    }
  }
}

// The last seconds of a stream.

const ROWS = 6000; // samples that a ring holds: 20 s at 250 Hz, and some

export class Ring {
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

  time(k) {
    return this.times[k % ROWS];
  }

  value(channel, k) {
    return this.data[channel][k % ROWS];
  }

  get oldest() {
    return Math.max(0, this.n - ROWS);
  }

  get newest() {
    return this.n ? this.time(this.n - 1) : -Infinity;
  }

  // Number of the first sample that is not older than a time.
  since(time) {
    const oldest = this.oldest;
    let k = this.n;
    while (k > oldest && this.time(k - 1) >= time) k--;
    return k;
  }

  // Seconds from a sample to the next, as of late.
  usual() {
    const m = Math.min(this.n, 200);
    return m < 2 ? 0.1 : Math.max(0.004, (this.newest - this.time(this.n - m)) / (m - 1));
  }

  // Usual value of a channel since a time, and how far samples (some of them) lie from it.
  spread(channel, time) {
    const first = this.since(time);
    let sum = 0, count = 0;
    for (let k = first; k < this.n; k++) {
      const value = this.value(channel, k);
      if (!Number.isNaN(value)) { sum += value; count++; }
    }
    const mean = count ? sum / count : 0, sizes = [];
    for (let k = first; k < this.n; k += 7) {
      const size = Math.abs(this.value(channel, k) - mean);
      if (!Number.isNaN(size)) sizes.push(size);
    }
    return { mean, sizes };
  }
}

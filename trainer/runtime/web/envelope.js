// Loudness over time: a ring of short stretches. Pure.

/** Stretches kept: 15 minutes of 20 ms. */
const ROOM = 45000;

export class Envelope {
  constructor(room = ROOM) {
    this.room = room;
    this.from = new Float64Array(room);
    this.to = new Float64Array(room);
    this.peak = new Float32Array(room);
    this.rms = new Float32Array(room);
    this.tint = new Array(room);
    this.count = 0;
  }

  /** A stretch [from, to) in page ms; stretches come in order and do not overlap. */
  push(from, to, { peak, rms }, tint) {
    const last = this.count ? this.to[(this.count - 1) % this.room] : -Infinity;
    const i = this.count++ % this.room;
    // Arrival times jitter; a stretch follows the last one where it can.
    this.from[i] = from - last < to - from ? Math.max(last, from - (to - from)) : from;
    this.to[i] = Math.max(to, this.from[i]);
    this.peak[i] = peak;
    this.rms[i] = rms;
    this.tint[i] = tint;
  }

  /** Calls each(from, to, peak, rms, tint) for the stretches that touch [start, end), in order. */
  within(start, end, each) {
    const oldest = Math.max(0, this.count - this.room);
    let low = oldest, high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.to[middle % this.room] <= start) low = middle + 1;
      else high = middle;
    }
    for (let n = low; n < this.count; n++) {
      const i = n % this.room;
      if (this.from[i] >= end) return;
      each(this.from[i], this.to[i], this.peak[i], this.rms[i], this.tint[i]);
    }
  }
}

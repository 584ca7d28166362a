// Clocks: the server's and the sound card's, laid onto the page's. Pure.

/** Another clock on the page's (performance.now): the smallest delay seen is taken for none. */
export class Clock {
  constructor() {
    this.offset = null;
  }

  /** Page time of a time on the other clock, ms; `now`: when it arrived. A slow leak follows clocks that drift apart. */
  page(at, now) {
    if (typeof at !== "number") return now;
    this.offset = this.offset === null ? now - at : Math.min(this.offset + 0.02, now - at);
    return at + this.offset;
  }
}

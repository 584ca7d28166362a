// AudioWorklet "playback": a jitter buffer per utterance, responses and backchannels mixed.
//
//   in   {say: id, kind, samples}   append samples (context's rate); playing starts with the next 128 samples
//        {last: id}                 nothing more will come
//        {stop: id | "response" | "*"}  silence from the next 128 samples on
//   out  {what: "began" | "ended" | "stopped", id, kind, played}   played: samples that left for the loudspeaker
//        {what: "underrun", id, kind, played, frames}              a hole of so many samples has just ended
//        {what: "level", kind, id, played, peak, rms}              every 20 ms while something is played
//        all of them with `at`: the context's clock, ms
//        {what: "halted", token, items}                            answer to a stop: [{id, kind, played}]

const REPORT_S = 0.02;
/** After a hole, this much must be waiting before sound goes on: one hole instead of many. */
const REFILL_S = 0.06;
/** A cut leaves a tail that falls by 60 dB in 2.7 ms: no click, and silence well within 20 ms. */
const TAIL = 0.95;

class Item {
  constructor(id, kind) {
    Object.assign(this, { id, kind, chunks: [], at: 0, waiting: 0, played: 0, over: false, begun: false, hole: 0 });
  }

  push(samples) {
    this.chunks.push(samples);
    this.waiting += samples.length;
  }

  /** The next sample; the caller has looked at `waiting`. */
  shift() {
    const value = this.chunks[0][this.at++];
    if (this.at === this.chunks[0].length) {
      this.chunks.shift();
      this.at = 0;
    }
    this.waiting--;
    this.played++;
    return value;
  }
}

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.tracks = { response: [], backchannel: [] };
    this.tail = { response: 0, backchannel: 0 };
    this.meter = { response: { peak: 0, sum: 0 }, backchannel: { peak: 0, sum: 0 } };
    this.frames = 0;
    /** Ids that were stopped: what is still on its way to them is dropped. */
    this.gone = new Set();
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take({ say, kind = "response", samples, last, stop, token }) {
    if (stop !== undefined) this.stop(stop, token);
    else if (last !== undefined) this.items().forEach((item) => { if (item.id === last) item.over = true; });
    else if (say !== undefined && samples.length && !this.gone.has(say)) this.find(say, kind).push(samples);
  }

  items() {
    return [...this.tracks.response, ...this.tracks.backchannel];
  }

  find(id, kind) {
    const track = this.tracks[kind];
    let item = track.find((x) => x.id === id);
    if (!item) track.push(item = new Item(id, kind));
    return item;
  }

  stop(which, token) {
    const hit = (item) => which === "*" || which === item.kind || which === item.id;
    const items = this.items().filter(hit);
    if (which !== "*" && which !== "response") this.gone.add(which);
    for (const item of items) {
      this.gone.add(item.id);
      this.tracks[item.kind] = this.tracks[item.kind].filter((x) => x !== item);
      this.tell("stopped", item);
    }
    this.port.postMessage({ what: "halted", token, items: items.map(({ id, kind, played }) => ({ id, kind, played })) });
  }

  tell(what, item, more = {}) {
    this.port.postMessage({ what, id: item.id, kind: item.kind, played: item.played, at: currentTime * 1000, ...more });
  }

  process(_, [channels]) {
    const out = channels[0];
    out.fill(0);
    for (const kind of ["response", "backchannel"]) this.play(kind, out);
    for (const other of channels.slice(1)) other.set(out);
    this.frames += out.length;
    if (this.frames >= sampleRate * REPORT_S) this.report();
    return true;
  }

  play(kind, out) {
    const meter = this.meter[kind];
    for (let i = 0; i < out.length; i++) {
      const value = this.next(kind);
      out[i] += value;
      meter.peak = Math.max(meter.peak, Math.abs(value));
      meter.sum += value * value;
    }
  }

  /** One sample of a track: the first utterance in its queue, or the tail of what was cut. */
  next(kind) {
    const item = this.tracks[kind][0];
    if (item && this.ready(item)) return this.tail[kind] = item.shift();
    if (item && item.over && !item.waiting) {
      this.tracks[kind].shift();
      this.tell("ended", item);
    } else if (item && item.begun) item.hole++;
    this.tail[kind] = Math.abs(this.tail[kind]) < 1e-5 ? 0 : this.tail[kind] * TAIL;
    return this.tail[kind];
  }

  ready(item) {
    if (!item.waiting) return false;
    if (item.hole && !item.over && item.waiting < sampleRate * REFILL_S) return false;
    if (!item.begun) this.tell("began", item);
    else if (item.hole) this.tell("underrun", item, { frames: item.hole });
    item.begun = true;
    item.hole = 0;
    return true;
  }

  report() {
    for (const kind of ["response", "backchannel"]) {
      const item = this.tracks[kind][0], meter = this.meter[kind];
      if (item || meter.peak > 0) {
        const rms = Math.sqrt(meter.sum / this.frames);
        this.port.postMessage({ what: "level", kind, id: item?.id, played: item?.played, peak: meter.peak, rms, at: currentTime * 1000 });
      }
      this.meter[kind] = { peak: 0, sum: 0 };
    }
    this.frames = 0;
  }
}

registerProcessor("playback", Playback);

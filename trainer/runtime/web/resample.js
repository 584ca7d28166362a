// Sample rates and the wire's bytes. Pure: no audio context, no network.

/** The wire's rate: 24 kHz, 16-bit little-endian mono. */
export const WIRE_RATE = 24000;

const PHASES = 256;
/** Zero crossings of the kernel on either side of its centre. */
const CROSSINGS = 16;
/** Share of the narrower band that passes untouched. */
const PASS = 0.94;

/** The value of a Blackman-windowed sinc at `x` input samples from its centre. */
function kernel(x, cutoff, half) {
  if (Math.abs(x) >= half) return 0;
  const angle = Math.PI * cutoff * x;
  const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
  const w = Math.PI * x / half;
  return cutoff * sinc * (0.42 + 0.5 * Math.cos(w) + 0.08 * Math.cos(2 * w));
}

/** A streaming converter: output sample n lies at input position n * from / to, whatever the chunks. */
export class Resampler {
  /** @param {number} from rate of what is pushed, Hz  @param {number} to rate of what comes out, Hz */
  constructor(from, to) {
    this.from = from;
    this.to = to;
    const cutoff = Math.min(1, to / from) * PASS;
    this.half = Math.ceil(CROSSINGS / cutoff);
    this.taps = Array.from({ length: PHASES + 1 }, (_, p) =>
      Float32Array.from({ length: 2 * this.half }, (_, i) => kernel(i - this.half + 1 - p / PHASES, cutoff, this.half)));
    this.held = new Float32Array(this.half - 1);
    /** Position of the next output in `held`, in units of 1 / to input samples: integers do not drift. */
    this.place = 0;
  }

  /** The samples that are certain now; the last `half` input samples are kept for the next call. */
  push(samples) {
    if (this.from === this.to) return samples;
    const held = new Float32Array(this.held.length + samples.length);
    held.set(this.held);
    held.set(samples, this.held.length);
    const windows = held.length - 2 * this.half + 1;
    const count = windows > 0 ? Math.max(0, Math.ceil((windows * this.to - this.place) / this.from)) : 0;
    const out = new Float32Array(count);
    for (let n = 0; n < count; n++, this.place += this.from) out[n] = this.at(held);
    const spent = Math.min(Math.floor(this.place / this.to), held.length);
    this.held = held.slice(spent);
    this.place -= spent * this.to;
    return out;
  }

  /** What is still held back: the input is over. */
  flush() {
    return this.from === this.to ? new Float32Array(0) : this.push(new Float32Array(this.half));
  }

  at(held) {
    const start = Math.floor(this.place / this.to);
    const taps = this.taps[Math.round((this.place / this.to - start) * PHASES)];
    let sum = 0;
    for (let i = 0; i < taps.length; i++) sum += held[start + i] * taps[i];
    return sum;
  }
}

/** Samples in [-1, 1] as base64 of 16-bit little-endian PCM; louder ones are clipped. */
export function encode(samples) {
  const pcm = Int16Array.from(samples, (x) => Math.max(-32768, Math.min(32767, Math.round(x * 32768))));
  const bytes = new Uint8Array(pcm.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/** Samples in [-1, 1] from base64 of 16-bit little-endian PCM; an odd last byte is dropped. */
export function decode(base64) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer, 0, bytes.length >> 1), (x) => x / 32768);
}

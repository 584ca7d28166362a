// The page's ears and mouth: one AudioContext, a capture worklet, a playback worklet, and the rates between them.
import { Clock } from "./clock.js";
import { Resampler, WIRE_RATE, decode, encode } from "./resample.js";

/** A microphone that cannot be had, in one plain line. */
export class NoMicrophone extends Error {}

const REASONS = {
  NotFoundError: "No microphone was found. Plug one in and press Talk again.",
  OverconstrainedError: "The chosen microphone is gone. Choose another one under Settings.",
  NotAllowedError: "The microphone was refused. Allow it for this page in the browser and press Talk again.",
  SecurityError: "The microphone was refused. Allow it for this page in the browser and press Talk again.",
  NotReadableError: "The microphone does not answer: another program may hold it.",
};
const INSECURE = "Browsers lend the microphone only to https pages and to localhost. Open this page under one of them.";

/** The microphones there are: [{id, label}]; labels are empty until one was allowed. */
export async function microphones() {
  const devices = await navigator.mediaDevices?.enumerateDevices() ?? [];
  return devices.filter((d) => d.kind === "audioinput" && d.deviceId && d.deviceId !== "default")
    .map((d, i) => ({ id: d.deviceId, label: d.label || `microphone ${i + 1}` }));
}

/** Peak and RMS of samples in [-1, 1]. */
function loudness(samples) {
  let peak = 0, sum = 0;
  for (const x of samples) {
    peak = Math.max(peak, Math.abs(x));
    sum += x * x;
  }
  return { peak, rms: Math.sqrt(sum / Math.max(1, samples.length)) };
}

export class Sound {
  /**
   * @param {object} on callbacks:
   *   heard(base64, level, from, to)  20 ms of the microphone at the wire's rate; page ms
   *   played(message)           whatever the playback worklet reports, `played` in ms, `at` in page ms
   *   lost(line)                the microphone went away
   */
  constructor(on) {
    this.on = on;
    this.context = null;
    this.waiting = new Map();
    this.token = 0;
    this.rates = new Map();
  }

  /** Opens the loudspeaker and the microphone. Call it from a click. Raises NoMicrophone. */
  async open(settings) {
    if (!navigator.mediaDevices?.getUserMedia) throw new NoMicrophone(INSECURE);
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    const resumed = this.context.resume();
    this.clock = new Clock();
    await Promise.all([this.listen(settings), this.load()]);
    await resumed;
    this.connect();
  }

  async load() {
    if (this.playback) return;
    await Promise.all(["capture.js", "playback.js"].map((f) => this.context.audioWorklet.addModule(new URL(f, import.meta.url))));
    this.playback = new AudioWorkletNode(this.context, "playback", { numberOfInputs: 0, outputChannelCount: [2] });
    this.playback.port.onmessage = ({ data }) => this.report(data);
    this.playback.connect(this.context.destination);
  }

  /** Takes another microphone or echo setting while the conversation goes on. Raises NoMicrophone. */
  async change(settings) {
    await this.listen(settings);
    this.connect();
  }

  async listen({ microphone, echo }) {
    const wanted = { echoCancellation: echo, noiseSuppression: false, autoGainControl: true, channelCount: 1 };
    if (microphone) wanted.deviceId = { exact: microphone };
    this.release();
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (error) {
      throw new NoMicrophone(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
  }

  connect() {
    const rate = this.context.sampleRate;
    const resampler = new Resampler(rate, WIRE_RATE);
    this.source = this.context.createMediaStreamSource(this.stream);
    this.capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.capture.port.onmessage = ({ data: { samples, at } }) => {
      const to = this.clock.page(at, performance.now());
      this.on.heard(encode(resampler.push(samples)), loudness(samples), to - samples.length / rate * 1000, to);
    };
    this.source.connect(this.capture);
    this.stream.getAudioTracks()[0].onended = () => this.on.lost("The microphone was taken away. Choose one under Settings.");
  }

  /** Plays base64 PCM of an utterance as soon as it comes. `kind`: response or backchannel. */
  say(id, kind, base64) {
    if (!this.rates.has(id)) this.rates.set(id, new Resampler(WIRE_RATE, this.context.sampleRate));
    this.post(id, kind, this.rates.get(id).push(decode(base64)));
  }

  /** The utterance is complete: what is held back follows, then its end. */
  last(id, kind) {
    if (!this.rates.has(id)) return;
    this.post(id, kind, this.rates.get(id).flush());
    this.rates.delete(id);
    this.playback.port.postMessage({ last: id });
  }

  post(id, kind, samples) {
    if (samples.length) this.playback.port.postMessage({ say: id, kind, samples }, [samples.buffer]);
  }

  /** Silence now; `which`: an id, "response" or "*". Gives [{id, kind, played}] in ms, and `ms` it took at most. */
  halt(which) {
    if (!this.playback) return Promise.resolve({ items: [], ms: 0 });
    const token = ++this.token, asked = performance.now();
    this.playback.port.postMessage({ stop: which, token });
    return new Promise((done) => this.waiting.set(token, (items) => done({ items, ms: performance.now() - asked })));
  }

  report(message) {
    const ms = (frames) => frames / this.context.sampleRate * 1000;
    if (message.what === "halted") {
      this.waiting.get(message.token)?.(message.items.map((item) => ({ ...item, played: ms(item.played) })));
      this.waiting.delete(message.token);
      for (const item of message.items) this.rates.delete(item.id);
      return;
    }
    if (message.played !== undefined) message.played = ms(message.played);
    // What leaves the worklet is heard when the device has played what lies before it.
    message.at = this.clock.page(message.at, performance.now()) + 1000 * (this.context.outputLatency || 0);
    if (message.frames !== undefined) message.ms = ms(message.frames);
    this.on.played(message);
  }

  /** Lets go of the microphone; the browser's recording mark goes out. */
  release() {
    this.stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.source?.disconnect();
    if (this.capture) this.capture.port.onmessage = null;
    this.stream = this.source = this.capture = null;
  }

  /** Ends the conversation: no microphone, no sound; the loudspeaker sleeps until the next open. */
  async close() {
    this.release();
    await this.halt("*");
    this.rates.clear();
    await this.context?.suspend();
  }
}

// AudioWorklet "capture": the microphone, mono, in pieces of 20 ms at the context's rate.

const PIECE_S = 0.02;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(Math.round(sampleRate * PIECE_S));
    this.filled = 0;
  }

  /** Posts {samples, at} for every full piece, `at`: its end on the context's clock, ms; an unplugged input gives none. */
  process([channels]) {
    if (!channels.length) return true;
    const scale = 1 / channels.length;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.piece[this.filled++] = sum * scale;
      if (this.filled === this.piece.length) this.post();
    }
    return true;
  }

  post() {
    this.port.postMessage({ samples: this.piece, at: currentTime * 1000 }, [this.piece.buffer]);
    this.piece = new Float32Array(Math.round(sampleRate * PIECE_S));
    this.filled = 0;
  }
}

registerProcessor("capture", Capture);

// A made-up conversation for the empty page: what the lanes will show. The same events, the same drawing.
import { Conversation } from "./conversation.js";
import { Envelope } from "./envelope.js";
import { TICK_MS } from "./tokens.js";

const STRETCH = 20;
/** When the example ends, ms. */
const END = 8300;
const PREFIX = "Sure, I can help you";

/** Something like the loudness of speech: syllables of uneven weight. */
function babble(envelope, from, to, tint) {
  for (let t = from; t < to; t += STRETCH) {
    const beat = (t - from) / 165 + 0.6 * Math.sin(t / 260), syllable = Math.floor(beat);
    const weight = syllable % 6 === 5 ? 0.06 : 0.3 + 0.7 * Math.abs(Math.sin(syllable * 2.3 + from));
    const rough = 0.8 + 0.2 * Math.sin(t * 1.7), shape = Math.pow(Math.abs(Math.sin(Math.PI * beat)), 0.7) * weight * rough;
    envelope.push(t, t + STRETCH, { peak: 0.04 + 0.5 * shape, rms: 0.01 + 0.15 * shape }, tint);
  }
}

function quiet(envelope, from, to) {
  for (let t = from; t < to; t += STRETCH) envelope.push(t, t + STRETCH, { peak: 0.001, rms: 0.0005 });
}

function ticks(tell) {
  const grid = (first, names) => names.forEach((name, i) => tell(first + i * TICK_MS, "tick", null, { token: name }));
  grid(1760, ["[BOC]", "mm", "[EOS]"]);
  grid(3520, ["[BOS]", ...PREFIX.split(" "), "[EOS]", ...Array(14).fill("[HOD]"), "[STP]"]);
}

/** {conversation, user, assistant, backchannel, start, now}: what Timeline draws. */
export function example() {
  const conversation = new Conversation();
  const tell = (at_ms, what, turn = null, data = {}) => conversation.receive({ type: "relay.trace", at_ms, what, turn, data }, at_ms);
  tell(0, "tick");
  ticks(tell);
  tell(1760, "fired", 0, { token: "[BOC]" });
  tell(1780, "fork", 0);
  tell(1800, "draft", 0, { text: "mhm", ms: 12 });
  tell(2200, "end", 0, { outcome: "completed", heard: "mhm" });
  tell(3520, "fired", 1, { token: "[BOS]" });
  tell(3520, "fork", 1);
  tell(3549, "draft", 1, { text: PREFIX, ms: 29 });
  tell(3552, "verdict", 1, { commit: true, probability: 0.91, threshold: 0.62 });
  tell(3555, "asked", 1, { prefix: PREFIX });
  tell(4065, "slow_first", 1, { ms: 510 });
  for (const at of [4065, 4150, 4230, 4320]) tell(at, "slow_text", 1, { text: "" });
  tell(4470, "slow_audio", 1, { margin_ms: 690 });
  tell(5160, "prefix_end", 1);
  tell(6720, "end", 1, { outcome: "interrupted", heard: PREFIX });
  conversation.barges.push({ at: 6720, turn: conversation.current() });
  const lanes = { user: new Envelope(900), assistant: new Envelope(900), backchannel: new Envelope(900) };
  quiet(lanes.user, 0, 300);
  babble(lanes.user, 300, 3200);
  quiet(lanes.user, 3200, 6540);
  babble(lanes.user, 6540, 8000);
  quiet(lanes.user, 8000, END);
  babble(lanes.backchannel, 1860, 2200, "back");
  babble(lanes.assistant, 3640, 5160, "fast");
  babble(lanes.assistant, 5160, 6720, "slow");
  return { conversation, ...lanes, start: 0, now: END };
}

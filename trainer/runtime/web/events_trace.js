// The relay's own trace: what -> (conversation, data, at in page ms, turn number or null). Unknown ones are ignored.
import { barge } from "./events_ga.js";
import { token } from "./tokens.js";

/** Sets page times of a turn once. */
const mark = (c, number, name, at) => {
  const turn = c.turn(number);
  if (turn) turn.at[name] ??= at;
  return turn;
};

export const traces = {
  tick: (c, data, at) => {
    const { kind, name } = token(data.token);
    c.tick = { at };
    if (kind !== "silent") c.keep(c.ticks, { at, kind, name });
    if (typeof data.lateness_ms === "number") {
      c.lateness.push(data.lateness_ms);
      if (c.lateness.length > 400) c.lateness.shift();
    }
  },
  fired: (c, data, at, number) => {
    const { name } = token(data.token);
    c.fired = { at, name, probability: data.probability };
    if (name === "STP" || number === null) return;
    c.turn(number, name === "BOC" ? "backchannel" : "turn").at.fired = at;
  },
  fork: (c, data, at, number) => {
    const kind = data.kind ?? (c.fired?.name === "BOC" ? "backchannel" : "turn");
    const turn = c.turn(number, kind);
    if (!turn) return;
    turn.at.fork ??= at;
    if (c.fired && at - c.fired.at < 1000) turn.at.fired ??= c.fired.at;
  },
  draft: (c, data, at, number) => {
    const turn = mark(c, number, "draft", at);
    if (turn) Object.assign(turn, { draft: data.text ?? "", draftMs: data.ms ?? null });
  },
  verdict: (c, data, at, number) => {
    const turn = mark(c, number, "verdict", at);
    if (turn) Object.assign(turn, { commit: Boolean(data.commit), probability: data.probability ?? null, threshold: data.threshold ?? null });
  },
  transcript: (c, data) => {
    const said = c.entries.findLast((e) => e.kind === "user");
    if (said) said.text ??= data.text ?? "";
  },
  asked: (c, data, at, number) => {
    const turn = mark(c, number, "asked", at);
    if (turn) turn.asked = data.prefix ?? "";
  },
  slow_first: (c, data, at, number) => {
    const turn = mark(c, number, "slowFirst", at);
    if (turn) turn.slowMs = data.ms ?? null;
  },
  slow_text: (c, data, at, number) => {
    const turn = c.turn(number);
    turn?.pieces.push(at);
    if (turn) turn.slowText += data.text ?? "";
  },
  prefix_end: (c, _, at, number) => { mark(c, number, "prefixEnd", at); },
  slow_audio: (c, data, at, number) => {
    const turn = mark(c, number, "slowAudio", at);
    if (turn) turn.margin = data.margin_ms ?? turn.margin;
  },
  underrun: (c, data, at, number) => {
    const turn = c.turn(number);
    if (turn) turn.starved = (turn.starved ?? 0) + (data.ms ?? 0);
  },
  stop: (c, _, at, number) => {
    const turn = mark(c, number, "stop", at);
    if (turn?.audible && turn.kind === "turn" && !turn.hushed) barge(c, turn, at);
  },
  end: (c, data, at, number) => {
    const turn = mark(c, number, "end", at);
    if (!turn) return;
    turn.told = turn.outcome = data.outcome ?? turn.outcome ?? "completed";
    if (!turn.certain && typeof data.heard === "string") turn.heard = data.heard;
  },
};

// What is known of a conversation: server events in, turns, words, marks and a phase out. Pure: no sound, no drawing.
//
// Times are the page's milliseconds (performance.now). The server's clock is laid onto it by Clock.
import { Clock } from "./clock.js";
import { ga } from "./events_ga.js";
import { traces } from "./events_trace.js";

/** How much of the past is kept, in ticks and marks: 30 minutes of ticks. */
const KEPT = 11250;

/** One response of the assistant, a backchannel included. `at`: page times of what happened to it. */
export class Turn {
  constructor(number, kind = "turn") {
    Object.assign(this, {
      number, kind, item: null, response: null, at: {}, draft: null, words: [], text: "", commit: null, probability: null,
      threshold: null, margin: null, outcome: null, heard: null, record: {}, pieces: [], holes: [], played: 0, stopMs: null,
      asked: null, mode: null, audible: false, slowText: "",
    });
  }

  /** Words of the prefix; the rest is the slow path's. */
  get prefixWords() {
    return this.commit && this.draft ? this.draft.split(/\s+/).filter(Boolean).length : 0;
  }

  /** Milliseconds into the response's audio where the slow path begins; null while no word of it is known. */
  get seam() {
    const word = this.words.find((w) => w.source === "slow");
    return word ? word.start ?? 0 : null;
  }

  /** How many of the words were heard: by the server's word where it has spoken, else by what was played. */
  get heardWords() {
    if (this.heard !== null) return Math.min(this.words.length, this.heard.split(/\s+/).filter(Boolean).length);
    if (this.outcome === "completed") return this.words.length;
    const next = this.words.findIndex((w) => w.start !== null && w.start >= this.played);
    return this.played <= 0 ? 0 : next < 0 ? this.words.length : next;
  }

  /** Words that were there and never came to speech; known only where the pieces fit what was spoken. */
  get unsaid() {
    if (!["interrupted", "cancelled"].includes(this.outcome)) return [];
    const whole = this.slowText.split(/\s+/).filter(Boolean), spoken = this.words.filter((w) => w.source === "slow");
    const last = spoken.at(-1)?.text;
    const at = spoken.length ? whole.findIndex((word, i) => word === last && i >= spoken.length - 1) : -1;
    return spoken.length ? (at < 0 ? [] : whole.slice(at + 1)) : this.commit ? [] : whole;
  }

  /** [BOS] to the first words that can be spoken, ms; null where it is not known. */
  get onset() {
    const { onset_ms: told } = this.record;
    if (isNumber(told)) return told;
    const ready = this.commit ? this.at.verdict : this.at.slowFirst ?? (this.at.asked ? null : this.at.draft);
    return between(this.began, ready);
  }

  /** [BOS] to the first sound at this page, ms. */
  get audibleOnset() {
    return between(this.began, this.at.audible) ?? (isNumber(this.record.audible_ms) ? this.record.audible_ms : null);
  }

  get began() {
    return this.at.fired ?? this.at.fork ?? this.at.created;
  }
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const between = (from, to) => from == null || to == null ? null : Math.max(0, to - from);

export class Conversation {
  constructor() {
    this.begin();
    /** Turns and what the user said, in order: Turn or {kind: "user", id, at, ended, text}. */
    this.entries = [];
    this.ticks = [];
    this.barges = [];
    this.fired = null;
    this.changed = 0;
  }

  /** A new session goes on below the old one. */
  begin() {
    this.clock = new Clock();
    /** The newest tick of the model: {at} in page ms. */
    this.tick = null;
    this.byNumber = new Map();
    this.byItem = new Map();
    this.userSpeaks = false;
    this.lateness = [];
    this.hello = null;
  }

  /** One server event; unknown ones are nothing. Gives what the page must do: [{do, ...}]. */
  receive(event, now) {
    const todo = [];
    if (event.type === "relay.trace") {
      const at = this.clock.page(event.at_ms, now);
      traces[event.what]?.(this, event.data ?? {}, at, event.turn ?? null);
    } else ga[event.type]?.(this, event, now, todo);
    this.changed++;
    return todo;
  }

  /** The turn of this number, made where it is new: a response already begun without a number is taken for it. */
  turn(number, kind = "turn") {
    if (number === null) return this.current();
    let turn = this.byNumber.get(number);
    if (!turn) {
      const open = this.current();
      turn = open && open.number === null && !open.outcome ? open : this.add(new Turn(number, kind));
      turn.number = number;
      this.byNumber.set(number, turn);
    }
    return turn;
  }

  /** The turn of a response that begins: the newest without one, or its own. */
  response(number, kind, now) {
    const known = this.byNumber.get(number)
      ?? this.entries.findLast((e) => e instanceof Turn && !e.response && !e.outcome && e.kind === kind);
    const turn = known ?? this.add(new Turn(number ?? null, kind));
    if (number != null) this.byNumber.set(number, turn);
    turn.at.created ??= now;
    return turn;
  }

  add(entry) {
    this.entries.push(entry);
    return entry;
  }

  /** The newest turn; undefined before the first. */
  current() {
    return this.entries.findLast((e) => e instanceof Turn);
  }

  get turns() {
    return this.entries.filter((e) => e instanceof Turn);
  }

  keep(list, value) {
    list.push(value);
    if (list.length > KEPT) list.splice(0, KEPT / 10);
  }

  /** A report of the playback worklet (see playback.js); `played` in ms. */
  heard(message, now) {
    const turn = this.byItem.get(message.id);
    if (!turn) return;
    this.changed++;
    if (isNumber(message.played)) turn.played = message.played;
    if (message.what === "began") turn.at.audible ??= now;
    if (message.what === "underrun") turn.holes.push({ from: now - message.ms, to: now });
    turn.audible = !["ended", "stopped"].includes(message.what);
    if (!turn.audible) turn.at.silent ??= now;
  }

  /** off is the page's own; here: listening, user, drafting, fast, slow. */
  get phase() {
    const turn = this.entries.findLast((e) => e instanceof Turn && e.kind === "turn");
    if (turn?.audible) return turn.seam !== null && turn.played >= turn.seam ? "slow" : "fast";
    if (this.userSpeaks) return "user";
    return turn && !turn.outcome ? "drafting" : "listening";
  }
}

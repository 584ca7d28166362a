// The scrolling picture: where everything lies, which colours there are, looking back. lanes.js and strip.js draw.
import { Envelope } from "./envelope.js";
import { example } from "./example.js";
import { axis, grid, heads, lanes, nowLine, text, tokens } from "./lanes.js";
import { barges, relays } from "./strip.js";

const COLOURS = ["paper", "card", "ink", "soft", "line", "grid", "user", "user-fill", "fast", "fast-fill", "slow", "slow-fill", "back", "back-fill", "cut", "cut-fill", "good", "good-fill"];
const STEP_MS = 1500;

/** Rows {y, h} from top to bottom, the scale in pixels per ms, the gutter of the heads; by width. */
export function layout(width) {
  const wide = width >= 720;
  const heights = wide ? { axis: 24, user: 88, tokens: 30, fast: 38, slow: 26, margin: 20, assistant: 88 } : { axis: 22, user: 70, tokens: 28, fast: 52, slow: 26, margin: 20, assistant: 72 };
  let y = 0;
  const rows = Object.fromEntries(Object.entries(heights).map(([name, h]) => [name, { y: (y += h) - h, h }]));
  const gutter = wide ? 92 : 0;
  return { wide, rows, width, height: y + 2, gutter, scale: wide ? 0.118 : 0.066, nowX: gutter + (width - gutter) * (wide ? 0.84 : 0.8) };
}

export class Timeline {
  /** @param {HTMLCanvasElement} canvas  @param {Conversation} conversation */
  constructor(canvas, conversation) {
    Object.assign(this, { canvas, conversation, back: 0, start: null, frozen: null });
    this.user = new Envelope();
    this.assistant = new Envelope();
    this.backchannel = new Envelope();
    this.ctx = canvas.getContext("2d");
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
    this.colour();
    this.pan();
  }

  /** Reads the theme's colours; to be called again when it changes. */
  colour() {
    const probe = document.createElement("span");
    this.canvas.parentElement.append(probe);
    this.colours = Object.fromEntries(COLOURS.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }));
    probe.remove();
    this.font = getComputedStyle(document.body).fontFamily;
  }

  resize() {
    const width = this.canvas.parentElement.clientWidth, ratio = window.devicePixelRatio || 1;
    this.place = layout(width);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.place.height * ratio);
    this.canvas.style.height = `${this.place.height}px`;
    this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (this.colours) this.draw(performance.now());
  }

  /** Drag, wheel and arrow keys look back; onlook(boolean) tells whether the picture is in the past. */
  pan() {
    let held = null;
    this.canvas.addEventListener("pointerdown", (e) => { held = { x: e.clientX, back: this.back }; this.canvas.setPointerCapture(e.pointerId); });
    this.canvas.addEventListener("pointermove", (e) => { if (held) this.look(held.back + (e.clientX - held.x) / this.place.scale); });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => { held = null; });
    this.canvas.addEventListener("wheel", (e) => {
      if (Math.abs(e.deltaX) <= Math.abs(e.deltaY)) return;
      e.preventDefault();
      this.look(this.back - e.deltaX / this.place.scale);
    }, { passive: false });
    this.canvas.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: STEP_MS, ArrowRight: -STEP_MS, End: -Infinity }[e.key];
      if (step === undefined) return;
      e.preventDefault();
      this.look(this.back + step);
    });
  }

  look(back) {
    const most = this.start === null ? 0 : Math.max(0, this.now - this.start);
    this.back = Math.max(0, Math.min(back, most));
    this.onlook?.(this.back > 0);
    this.draw(this.now);
  }

  /** The picture stands still from here; null: it moves again. */
  freeze(now) {
    this.frozen = now;
  }

  draw(time) {
    this.now = this.frozen ?? time;
    const { place, ctx } = this, shown = this.start === null ? this.example ??= example() : this;
    const { now, start } = shown, seen = now - this.back;
    const x = (t) => place.nowX + (t - seen) * place.scale;
    const t = (px) => seen + (px - place.nowX) / place.scale;
    const pen = { ctx, x, t, now, place, colours: this.colours, font: this.font, from: t(place.gutter), to: t(place.width), start };
    ctx.clearRect(0, 0, place.width, place.height);
    lanes(pen);
    ctx.save();
    ctx.beginPath();
    ctx.rect(place.gutter, 0, place.width - place.gutter, place.height);
    ctx.clip();
    history(pen, shown);
    if (shown !== this) veil(pen);
    ctx.restore();
    heads(pen);
  }
}

/** The past of a conversation: {conversation, user, assistant, backchannel}. */
function history(pen, { conversation, user, assistant, backchannel }) {
  grid(pen, conversation.tick);
  axis(pen);
  wave(pen, user, "user", () => "user");
  wave(pen, backchannel, "assistant", () => "back");
  wave(pen, assistant, "assistant", (tint) => tint);
  relays(pen, conversation.turns.filter((turn) => near(turn, pen)));
  tokens(pen, conversation.ticks);
  barges(pen, conversation.barges);
  nowLine(pen);
}

/** An example is pale, and says what it is. */
function veil(pen) {
  const { ctx, place, colours } = pen;
  ctx.fillStyle = colours.card;
  ctx.globalAlpha = 0.45;
  ctx.fillRect(place.gutter, 0, place.width, place.height);
  ctx.globalAlpha = 1;
  const { y, h } = place.rows.assistant;
  text(pen, "an example", place.width - 8, y + h - 12, { size: 12, weight: 600, align: "right" });
}

/** Does any of a turn lie within sight, its labels included? */
function near(turn, pen) {
  const from = turn.began ?? -Infinity, to = turn.at.end ?? pen.now;
  return from < pen.to && to + 4000 > pen.from;
}

/** A lane's loudness, mirrored: peaks pale, RMS solid. */
function wave(pen, envelope, row, tintOf) {
  const { ctx, x, place, colours } = pen;
  const { y, h } = place.rows[row];
  const middle = y + h / 2, half = h / 2 - 8;
  const high = (value) => Math.max(0.6, Math.pow(Math.min(1, value), 0.62) * half);
  envelope.within(pen.from, pen.to, (from, to, peak, rms, tint) => {
    const left = x(from), width = Math.max(0.9, x(to) - left + 0.35);
    ctx.fillStyle = colours[tintOf(tint)];
    ctx.globalAlpha = 0.32;
    ctx.fillRect(left, middle - high(peak), width, 2 * high(peak));
    ctx.globalAlpha = 1;
    ctx.fillRect(left, middle - high(rms), width, 2 * high(rms));
  });
}

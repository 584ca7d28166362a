// Axis, tick grid, lane grounds and heads, tokens. Every function takes the pen that timeline.js makes:
// {ctx, x(ms) -> px, t(px) -> ms, now, place, colours, font, from, to, start}.
import { TICK_MS } from "./tokens.js";

const HEADS = { user: "You", tokens: "Tokens", fast: "Fast path", slow: "Slow path", assistant: "Assistant" };
const TINT = { user: "user", fast: "fast", slow: "slow", assistant: "ink", tokens: "soft" };
const TOKEN_TINT = { BOS: "fast", BOC: "back", STP: "cut", EOS: "soft", HOD: "soft" };

export function text(pen, said, x, y, { size = 12, weight = 400, colour = "soft", align = "left" } = {}) {
  pen.ctx.font = `${weight} ${size}px ${pen.font}`;
  pen.ctx.textAlign = align;
  pen.ctx.textBaseline = "middle";
  pen.ctx.fillStyle = pen.colours[colour];
  pen.ctx.fillText(said, x, y);
}

export function box(pen, x, y, w, h, radius) {
  pen.ctx.beginPath();
  pen.ctx.roundRect(x, y, w, h, radius);
}

/** The grounds of both audio lanes. */
export function lanes({ ctx, place, colours }) {
  for (const name of ["user", "assistant"]) {
    const { y, h } = place.rows[name];
    ctx.fillStyle = colours.paper;
    ctx.fillRect(place.gutter, y, place.width - place.gutter, h);
    ctx.fillStyle = colours.line;
    ctx.fillRect(place.gutter, Math.round(y + h / 2), place.width - place.gutter, 1);
  }
}

/** Names of the rows: in the gutter, or small in the corner of the audio lanes where there is no gutter. */
export function heads(pen) {
  const { place } = pen;
  for (const [name, said] of Object.entries(HEADS)) {
    const { y, h } = place.rows[name];
    const audio = name === "user" || name === "assistant";
    if (place.wide) text(pen, said, 2, y + h / 2, { size: audio ? 14 : 12, weight: audio ? 650 : 400, colour: audio ? TINT[name] : "soft" });
    else if (audio) text(pen, said, 8, y + 10, { size: 11, weight: 650, colour: TINT[name] });
  }
}

/** One faint line per tick of the model, on the server's own ticks where they are known. */
export function grid(pen, tick) {
  const { ctx, place, colours } = pen;
  const anchor = tick?.at ?? pen.start;
  const top = place.rows.user.y, bottom = place.height;
  ctx.fillStyle = colours.grid;
  for (let n = Math.ceil((pen.from - anchor) / TICK_MS); anchor + n * TICK_MS < pen.to; n++) {
    const at = anchor + n * TICK_MS;
    if (at >= pen.start) ctx.fillRect(Math.round(pen.x(at)), top, 1, bottom - top);
  }
}

/** Seconds since the conversation began. */
export function axis(pen) {
  const { ctx, place, colours } = pen;
  const { h } = place.rows.axis;
  for (let s = Math.max(0, Math.ceil((pen.from - pen.start) / 1000)); pen.start + s * 1000 < pen.to; s++) {
    const x = Math.round(pen.x(pen.start + s * 1000));
    ctx.fillStyle = colours.line;
    ctx.fillRect(x, h - 6, 1, place.height - h + 6);
    text(pen, `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`, x + 4, h - 11, { size: 11 });
  }
}

/** The edge between what was and what comes. */
export function nowLine(pen) {
  const { ctx, place, colours } = pen;
  const x = Math.round(pen.x(pen.now));
  ctx.fillStyle = colours.ink;
  ctx.globalAlpha = 0.55;
  ctx.fillRect(x, place.rows.user.y - 4, 1, place.height);
  ctx.globalAlpha = 1;
  ctx.beginPath();
  ctx.arc(x + 0.5, place.rows.user.y - 4, 2.5, 0, 7);
  ctx.fill();
}

/** A mark per tick: text as short bars, [HOD] as dots, the others by name. */
export function tokens(pen, ticks) {
  const seen = ticks.filter(({ at }) => at > pen.from - 500 && at < pen.to);
  let before = null;
  for (const tick of seen) {
    const held = tick.name === "HOD" && tick.kind === "control";
    if (tick.kind === "text" || held) small(pen, tick, held);
  }
  for (const tick of seen) {
    const run = tick.name === "HOD" && before?.name === "HOD";
    if (tick.kind === "control" && tick.name !== "HOD" && !run) pill(pen, tick);
    before = tick;
  }
}

function small({ ctx, x, place, colours }, tick, held) {
  const { y, h } = place.rows.tokens;
  ctx.fillStyle = colours[held ? "soft" : "fast"];
  ctx.globalAlpha = held ? 0.55 : 0.8;
  ctx.beginPath();
  if (held) ctx.arc(x(tick.at), y + h / 2, 2, 0, 7);
  else ctx.roundRect(x(tick.at) - 1.5, y + h / 2 - 6, 3, 12, 1.5);
  ctx.fill();
  ctx.globalAlpha = 1;
}

function pill(pen, { at, name }) {
  const { ctx, x, place, colours } = pen;
  const { y, h } = place.rows.tokens;
  const w = 32, middle = y + h / 2, tint = TOKEN_TINT[name];
  box(pen, x(at) - w / 2, middle - 9, w, 18, 5);
  ctx.lineWidth = 3;
  ctx.strokeStyle = colours.card;
  ctx.stroke();
  ctx.fillStyle = colours[name === "EOS" ? "line" : tint];
  ctx.fill();
  text(pen, name, x(at), middle + 0.5, { size: 10.5, weight: 700, colour: name === "EOS" ? "ink" : "card", align: "center" });
}

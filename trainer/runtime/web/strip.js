// What the relay does between the lanes: fork, draft, verdict, slow path, margin, barge-in. For the pen see lanes.js.
import { box, text } from "./lanes.js";

const PAD = 8;
const GAUGE = 46;

/** Everything of the turns in sight. */
export function relays(pen, turns) {
  for (const turn of turns) {
    if (turn.at.asked !== undefined) slow(pen, turn);
    if (turn.at.fork !== undefined || turn.draft !== null) fast(pen, turn);
    if (turn.margin !== null) margin(pen, turn);
    for (const hole of turn.holes) underrun(pen, hole);
  }
}

function widthOf(pen, said, size, weight = 400) {
  pen.ctx.font = `${weight} ${size}px ${pen.font}`;
  return pen.ctx.measureText(said).width;
}

function shorten(pen, said, size, room) {
  if (widthOf(pen, said, size, 550) <= room) return said;
  let end = said.length;
  while (end > 1 && widthOf(pen, `${said.slice(0, end)}…`, size, 550) > room) end--;
  return `${said.slice(0, end).trimEnd()}…`;
}

/** Left edge of a label of width `w` that belongs at `x`: as far left as it takes to be whole. */
const inside = (pen, x, w) => Math.min(x, pen.place.width - w - 4);

/** Fork, draft and verdict: one chip; committed: filled, with a line down to the voice; fallen back: dashed. */
function fast(pen, turn) {
  const { ctx, place, colours } = pen;
  const row = place.rows.fast, back = turn.kind === "backchannel";
  const at = pen.x(turn.at.fork ?? turn.at.draft), two = !place.wide && !back;
  const tint = back ? "back" : "fast", judged = turn.commit !== null || turn.mode === "s2s";
  const words = shorten(pen, turn.draft === null ? "drafting …" : turn.draft || "no words", 13, place.width - 150);
  const verdict = turn.commit !== null && !back ? verdictText(turn) : "";
  const wordsWidth = widthOf(pen, words, 13, 550);
  const verdictWidth = verdict ? GAUGE + 6 + widthOf(pen, verdict, 11.5, 600) : 0;
  const took = place.wide && typeof turn.draftMs === "number" ? `${Math.round(turn.draftMs)} ms` : "";
  const tookWidth = took ? widthOf(pen, took, 11.5) + 10 : 0;
  const w = PAD * 2 + tookWidth + (two ? Math.max(wordsWidth, verdictWidth) : wordsWidth + (verdict ? 12 + verdictWidth : 0));
  const h = two && verdict ? 42 : 26, left = inside(pen, at - 6, w), top = row.y + 5;
  fork(pen, at, top, tint);
  if (turn.commit || back) drop(pen, pen.x(turn.at.verdict ?? turn.at.draft), top + h, tint);
  box(pen, left, top, w, h, 7);
  ctx.fillStyle = colours[turn.commit === false ? "card" : `${tint}-fill`];
  ctx.fill();
  ctx.lineWidth = 1;
  ctx.strokeStyle = colours[turn.commit === false ? "soft" : tint];
  ctx.setLineDash(turn.commit === false || !judged && !back ? [3, 3] : []);
  ctx.stroke();
  ctx.setLineDash([]);
  text(pen, words, left + PAD, top + 13.5, { size: 13, weight: 550, colour: turn.commit === false ? "soft" : "ink" });
  if (turn.commit === false) strike(pen, left + PAD, top + 13, wordsWidth);
  if (took) text(pen, took, left + PAD + wordsWidth + 8, top + 14, { size: 11.5 });
  if (verdict) gauge(pen, turn, verdict, two ? left + PAD : left + PAD + wordsWidth + tookWidth + 12, two ? top + 30 : top + 13.5);
}

function verdictText({ probability, commit }) {
  const score = typeof probability === "number" ? `${probability.toFixed(2)} ` : "";
  return `${score}${commit ? "✓ commit" : "↩ fall back"}`;
}

/** The verifier's probability as a bar, with a notch at the threshold. */
function gauge(pen, { probability, threshold, commit }, said, x, y) {
  const { ctx, colours } = pen, tint = commit ? "good" : "cut";
  ctx.fillStyle = colours.line;
  box(pen, x, y - 4, GAUGE, 8, 4);
  ctx.fill();
  ctx.fillStyle = colours[tint];
  box(pen, x, y - 4, Math.max(3, GAUGE * Math.min(1, probability ?? 0)), 8, 4);
  ctx.fill();
  if (typeof threshold === "number") {
    ctx.fillStyle = colours.ink;
    ctx.fillRect(x + GAUGE * threshold - 1, y - 7, 2, 14);
  }
  text(pen, said, x + GAUGE + 6, y + 0.5, { size: 11.5, weight: 600, colour: tint });
}

function strike({ ctx, colours }, x, y, w) {
  ctx.fillStyle = colours.soft;
  ctx.fillRect(x, y, w, 1);
}

/** From the token down to the draft. */
function fork({ ctx, place, colours }, x, bottom, tint) {
  ctx.strokeStyle = colours[tint];
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(x, place.rows.tokens.y + place.rows.tokens.h / 2);
  ctx.lineTo(x, bottom);
  ctx.stroke();
}

/** From a row down to the assistant's lane (or the margin above it), with an arrow's head. */
function drop({ ctx, place, colours }, x, top, tint, row = "assistant") {
  const bottom = place.rows[row].y + 2;
  ctx.strokeStyle = ctx.fillStyle = colours[tint];
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, bottom - 5);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x - 4, bottom - 6);
  ctx.lineTo(x + 4, bottom - 6);
  ctx.lineTo(x, bottom);
  ctx.fill();
}

/** Waiting dashed, answering solid with a notch per piece, then the first audio's arrow. */
function slow(pen, turn) {
  const { ctx, place, colours } = pen;
  const line = place.rows.slow.y + 13;
  const from = pen.x(turn.at.asked);
  const over = turn.at.stop ?? turn.at.end ?? pen.now;
  const first = turn.at.slowFirst === undefined ? null : pen.x(turn.at.slowFirst);
  ctx.strokeStyle = ctx.fillStyle = colours.slow;
  ctx.lineWidth = 2;
  ctx.setLineDash([2, 4]);
  ctx.beginPath();
  ctx.moveTo(from, line);
  ctx.lineTo(first ?? pen.x(over), line);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.beginPath();
  ctx.arc(from, line, 3, 0, 7);
  ctx.fill();
  if (first !== null) answering(pen, turn, first, line);
  if (turn.at.slowAudio !== undefined) drop(pen, pen.x(turn.at.slowAudio), line, "slow", turn.margin === null ? "assistant" : "margin");
  const said = slowText(turn, place.wide);
  const right = first === null ? over : Math.max(turn.at.slowFirst, turn.pieces.at(-1) ?? 0, turn.at.slowAudio ?? 0);
  text(pen, said, inside(pen, pen.x(right) + 10, widthOf(pen, said, 11.5)), line, { size: 11.5, colour: "slow" });
}

function answering(pen, turn, first, line) {
  const { ctx } = pen;
  const last = pen.x(turn.pieces.at(-1) ?? turn.at.slowFirst);
  ctx.fillRect(first, line - 1.5, Math.max(2, last - first), 3);
  for (const piece of turn.pieces) ctx.fillRect(pen.x(piece) - 1, line - 5, 2, 10);
}

function slowText(turn, wide) {
  if (turn.at.slowFirst === undefined) return "asked …";
  const ms = Math.round(turn.slowMs ?? turn.at.slowFirst - turn.at.asked);
  return wide ? `first words after ${ms} ms` : `${ms} ms`;
}

/** The time that the slow path was early (or late) by, from its first audio to the prefix's end. */
function margin(pen, turn) {
  const { ctx, place, colours } = pen;
  const { slowAudio, prefixEnd } = turn.at;
  if (slowAudio === undefined) return;
  const end = prefixEnd ?? slowAudio + turn.margin, good = turn.margin >= 0;
  const left = pen.x(Math.min(slowAudio, end)), w = Math.max(2, pen.x(Math.max(slowAudio, end)) - left);
  const top = place.rows.margin.y + 3;
  ctx.fillStyle = colours[good ? "good-fill" : "cut-fill"];
  box(pen, left, top, w, 14, 3);
  ctx.fill();
  ctx.strokeStyle = colours[good ? "good" : "cut"];
  ctx.lineWidth = 1;
  ctx.stroke();
  const said = `${place.wide ? good ? "margin " : "gap " : ""}${good ? "+" : "−"}${Math.abs(Math.round(turn.margin))} ms`;
  const width = widthOf(pen, said, 11, 650), within = width + 8 <= w;
  const x = within ? left + (w - width) / 2 : inside(pen, left + w + 5, width);
  text(pen, said, x, top + 7.5, { size: 11, weight: 650, colour: good ? "good" : "cut" });
}

/** A hole in what was played. */
function underrun({ ctx, x, place, colours }, { from, to }) {
  const { y, h } = place.rows.assistant;
  ctx.fillStyle = colours["cut-fill"];
  ctx.fillRect(x(from), y + 2, Math.max(2, x(to) - x(from)), h - 4);
}

/** Where the user cut in: a line through all rows and a flag on the axis. */
export function barges(pen, all) {
  const { ctx, place, colours } = pen;
  for (const { at } of all) {
    if (at < pen.from - 1500 || at > pen.to) continue;
    const x = Math.round(pen.x(at));
    ctx.fillStyle = colours.cut;
    ctx.fillRect(x, place.rows.axis.h - 2, 2, place.height);
    const said = "barge-in";
    const w = widthOf(pen, said, 11, 650) + 12, left = inside(pen, x, w);
    box(pen, left, 1, w, 17, 4);
    ctx.fill();
    text(pen, said, left + 6, 10, { size: 11, weight: 650, colour: "card" });
  }
}

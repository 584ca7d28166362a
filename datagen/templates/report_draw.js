"use strict";
// Draws a conversation on canvases: two lanes with boxes, words, waveforms, floor changes, events and noise.
const Draw = (() => {
  const RULER = 20, LANE = 84, BAND = 30, HEIGHT = 240, MAP = 26, RATE = 100;
  const TOP = { assistant: RULER, user: RULER + LANE + BAND };
  const FONT = 'system-ui, "Segoe UI", Roboto, sans-serif';
  const SMALL = `11px ${FONT}`, NORMAL = `12.5px ${FONT}`;
  // Words are squeezed into their time down to half their width; smaller would be a smear.
  const SQUEEZE = 0.5;
  let style = null;

  const colour = (name) => (style ??= getComputedStyle(document.documentElement)).getPropertyValue(`--${name}`).trim();
  const recolour = () => { style = null; };
  const clock = (t) => `${Math.floor(t / 60)}:${(t % 60).toFixed(1).padStart(4, "0")}`;

  function sized(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1, w = Math.round(width * ratio), h = Math.round(height * ratio);
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  }

  function noise({ g, x }, n) {
    const a = x(n.start), b = x(n.end), y = TOP.user, from = Math.max(a, 0);
    g.fillStyle = colour("noise-fill");
    g.fillRect(a, y, b - a, LANE + 20);
    g.fillStyle = colour("noise");
    g.fillRect(a, y + LANE + 19, b - a, 1.5);
    const asked = n.snr_db_asked === null ? "" : ` (asked ${n.snr_db_asked})`;
    const label = `${n.scene} noise${n.snr_db === null ? "" : `, ${n.snr_db} dB SNR${asked}`}`;
    g.font = SMALL;
    g.textAlign = "left";
    if (b - from - 8 > 0.7 * g.measureText(label).width) g.fillText(label, from + 4, y + LANE + 14, b - from - 8);
  }

  function ruler({ g, x, zoom, left, width, duration }) {
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60].find((s) => s * zoom >= 70) || 120;
    g.font = SMALL;
    g.textAlign = "left";
    for (let k = Math.floor(left / zoom / step); k * step <= duration && x(k * step) <= width; k++) {
      g.fillStyle = colour("line");
      g.fillRect(x(k * step), RULER - 4, 1, HEIGHT - RULER);
      g.fillStyle = colour("soft");
      g.fillText(clock(k * step).replace(/\.0$/, ""), x(k * step) + 3, 12);
    }
  }

  function segment({ g, x, heard }, s) {
    const a = x(s.start), width = Math.max(x(s.end) - a, 2), back = s.kind === "backchannel";
    g.globalAlpha = heard(s.speaker) ? 1 : 0.35;
    g.fillStyle = colour(`${s.speaker}-fill`);
    g.strokeStyle = colour(s.speaker);
    g.setLineDash(back ? [3, 3] : []);
    g.beginPath();
    g.roundRect(a, TOP[s.speaker] + 1, width, LANE - 2, back ? Math.min(12, width / 2) : 4);
    g.fill();
    g.stroke();
    g.setLineDash([]);
    g.globalAlpha = 1;
  }

  function wave({ g, width, left, zoom, heard }, speaker, peaks) {
    const middle = TOP[speaker] + 52, half = 28, per = RATE / zoom, bar = Math.max(1, Math.floor(zoom / RATE));
    g.fillStyle = colour(speaker);
    g.globalAlpha = heard(speaker) ? 0.9 : 0.25;
    for (let px = 0; px < width; px += bar) {
      const from = Math.floor((left + px) * per), to = Math.max(from + 1, Math.floor((left + px + bar) * per));
      let peak = 0;
      for (let k = from; k < to && k < peaks.length; k++) peak = Math.max(peak, peaks[k]);
      // The square root shows quiet speech without drowning it in loud speech.
      const size = Math.sqrt(peak / 255) * half;
      if (size > 0.4) g.fillRect(px, middle - size, Math.max(bar - (bar > 2 ? 1 : 0), 1), 2 * size);
    }
    g.globalAlpha = 1;
  }

  function words({ g, x, zoom, heard }, s) {
    const y = TOP[s.speaker] + 16;
    g.font = NORMAL;
    g.textAlign = "left";
    g.fillStyle = colour("ink");
    g.globalAlpha = heard(s.speaker) ? 1 : 0.4;
    const rooms = s.words.map(([word, start], k) => {
      const end = k + 1 < s.words.length ? s.words[k + 1][1] : Math.max(s.end, start + 0.2);
      return [word, start, (end - start) * zoom - 2];
    });
    const fitting = rooms.filter(([word, , room]) => room >= g.measureText(word).width * SQUEEZE);
    if (fitting.length >= 0.7 * rooms.length) for (const [word, start, room] of fitting) g.fillText(word, x(start) + 2, y, room);
    else {
      const room = x(s.end) - x(s.start) - 6;
      let text = s.text;
      while (text && g.measureText(`${text}…`).width > room) text = text.slice(0, -1);
      if (text.length > 2) g.fillText(`${text}…`, x(s.start) + 3, y);
    }
    g.globalAlpha = 1;
  }

  function pill({ g, taken, width }, label, middle, name) {
    g.font = SMALL;
    const wide = g.measureText(label).width + 12, seen = middle >= 0 && middle <= width, y = RULER + LANE + 7;
    const centre = seen ? Math.min(Math.max(middle, wide / 2 + 2), width - wide / 2 - 2) : middle, a = centre - wide / 2;
    if (taken.some(([from, to]) => a < to + 2 && a + wide > from - 2)) return;
    taken.push([a, a + wide]);
    g.fillStyle = colour(`${name}-fill`);
    g.beginPath();
    g.roundRect(a, y, wide, 17, 8.5);
    g.fill();
    g.fillStyle = colour(name);
    g.textAlign = "center";
    g.fillText(label, centre, y + 12.5);
  }

  function transfer(pen, t) {
    const a = pen.x(Math.min(t.from, t.to)), b = pen.x(Math.max(t.from, t.to)), over = t.ms < 0;
    const name = t.cut ? "cut" : over ? "over" : "gap";
    pen.g.fillStyle = colour(name);
    pen.g.fillRect(a, RULER + LANE + 1, Math.max(b - a, 1.5), 3);
    pill(pen, `${t.cut ? "barge-in " : ""}${over ? "−" : "+"}${Math.abs(t.ms)} ms`, (a + b) / 2, name);
  }

  // A bracket with a name: pauses, and any phenomenon that has no drawing of its own.
  function bracket({ g, x }, e) {
    const a = x(e.start), b = x(e.end), y = TOP[e.actor] + LANE - 8;
    const label = `${e.type.replaceAll("_", " ")} ${(e.end - e.start).toFixed(1)} s`;
    g.strokeStyle = colour("pause");
    g.beginPath();
    g.moveTo(a, y - 5); g.lineTo(a, y); g.lineTo(b, y); g.lineTo(b, y - 5);
    g.stroke();
    g.font = SMALL;
    g.fillStyle = colour("pause");
    g.textAlign = "center";
    if (b - a > g.measureText(label).width * 0.8) g.fillText(label, (a + b) / 2, y - 7, b - a);
  }

  function bargeIn(pen, e) {
    const { g, x } = pen, other = e.actor === "user" ? "assistant" : "user", end = x(e.end);
    g.fillStyle = colour("cut");
    g.fillRect(x(e.start) - 1, RULER, 2, 2 * LANE + BAND);
    if (e.outcome !== "yielded") { pill(pen, `barge-in, ${e.outcome}`, x(e.start), "cut"); return; }
    // A torn edge where the interrupted speaker falls silent.
    for (let k = 0; k < 7; k++) {
      g.beginPath();
      g.moveTo(end, TOP[other] + k * 12); g.lineTo(end + 5, TOP[other] + k * 12 + 6); g.lineTo(end, TOP[other] + k * 12 + 12);
      g.fill();
    }
  }

  function backchannel({ g, x }, e) {
    g.fillStyle = colour(e.actor);
    g.beginPath();
    g.arc((x(e.start) + x(e.end)) / 2, TOP[e.actor] + LANE - 8, 3, 0, 7);
    g.fill();
  }

  const EVENTS = { barge_in: bargeIn, backchannel };

  // The stretch of a conversation that starts `left` pixels from its beginning.
  function lanes(canvas, width, left, { data, zoom, envelope, audible }) {
    const g = sized(canvas, width, HEIGHT), heard = audible;
    const pen = { g, width, left, zoom, heard, duration: data.duration, x: (t) => t * zoom - left, taken: [] };
    const seen = (items) => items.filter((i) => Math.max(i.start, i.end) * zoom >= left - 60 && Math.min(i.start, i.end) * zoom <= left + width + 60);
    ruler(pen);
    seen(data.noise).forEach((n) => noise(pen, n));
    seen(data.segments).forEach((s) => segment(pen, s));
    for (const [speaker, peaks] of Object.entries(envelope)) wave(pen, speaker, peaks);
    seen(data.segments).forEach((s) => words(pen, s));
    seen(data.events).forEach((e) => (EVENTS[e.type] ?? bracket)(pen, e));
    const changes = data.transfers.map((t) => ({ ...t, start: t.from, end: t.to }));
    seen(changes).sort((a, b) => b.cut - a.cut).forEach((t) => transfer(pen, t));
  }

  function map(canvas, width, { data, audible }) {
    const scale = width / data.duration, g = sized(canvas, width, MAP);
    g.fillStyle = colour("noise-fill");
    for (const n of data.noise) g.fillRect(n.start * scale, MAP / 2, (n.end - n.start) * scale, MAP / 2);
    for (const s of data.segments) {
      const thin = s.kind === "backchannel", y = s.speaker === "assistant" ? 4 : 15;
      g.fillStyle = colour(s.speaker);
      g.globalAlpha = audible(s.speaker) ? 0.85 : 0.3;
      g.fillRect(s.start * scale, y + (thin ? 2 : 0), Math.max((s.end - s.start) * scale - 1, 1), thin ? 3 : 7);
    }
    g.globalAlpha = 1;
    g.fillStyle = colour("cut");
    for (const e of data.events) if (e.type === "barge_in") g.fillRect(e.start * scale - 1, 0, 2, MAP);
  }

  return { lanes, map, clock, recolour };
})();

// The turns' latencies: four tiles for the last turn, a table for all.

const ENDS = { completed: "heard out", interrupted: "barge-in", cancelled: "stopped", failed: "failed", empty: "empty" };

/** Which way the words came. */
function path(turn) {
  if (turn.mode === "s2s" || turn.mode === "cascade") return [turn.mode, turn.mode === "s2s" ? "fast" : "slow"];
  if (turn.commit === null) return ["–", ""];
  if (!turn.commit) return ["fell back", "slow"];
  return turn.asked === null ? ["prefix alone", "fast"] : ["prefix → slow", "fast"];
}

const whole = (ms) => ms === null || ms === undefined ? "–" : String(Math.round(ms));
const signed = (ms) => ms === null || ms === undefined ? "–" : `${ms >= 0 ? "+" : "−"}${Math.abs(Math.round(ms))}`;
const share = (x) => typeof x === "number" ? x.toFixed(2) : "–";

function cell(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  if (name === "th") made.scope = "row";
  return made;
}

function figure(node, text, unit) {
  node.textContent = text;
  if (text === "–" || !unit) return;
  const small = document.createElement("small");
  small.textContent = ` ${unit}`;
  node.append(small);
}

export class Figures {
  /** @param {(id: string) => HTMLElement} find */
  constructor(find) {
    this.body = find("turns");
    this.tiles = Object.fromEntries(["onset", "audible", "margin", "score", "gauge"].map((n) => [n, find(`tile-${n}`)]));
    this.shown = "";
    this.ticks = find("ticks");
  }

  /** Brings tiles and table up to date. */
  draw(conversation) {
    const turns = conversation.turns.filter((t) => t.kind === "turn");
    const rows = turns.map((t, i) => this.row(t, i + 1));
    const shown = JSON.stringify(rows);
    if (rows.length && shown !== this.shown) {
      this.shown = shown;
      this.body.replaceChildren(...rows.toReversed().map((row) => this.line(row)));
      this.tile(turns.at(-1));
    }
    this.late(conversation.lateness);
  }

  row(turn, n) {
    const [way, tint] = path(turn);
    return { n, way, tint, onset: whole(turn.onset), audible: whole(turn.audibleOnset), margin: signed(turn.margin),
      score: share(turn.probability), late: turn.margin < 0, commit: turn.commit, end: ENDS[turn.outcome] ?? (turn.outcome || "…") };
  }

  line(row) {
    const tr = document.createElement("tr");
    const way = cell("td", row.way, "way");
    way.dataset.tint = row.tint;
    tr.append(cell("th", row.n), way, cell("td", row.onset), cell("td", row.audible), cell("td", row.margin, row.late ? "bad" : ""),
      cell("td", row.score, row.commit === false ? "bad" : ""), cell("td", row.end, row.end === "barge-in" ? "bad" : ""));
    return tr;
  }

  tile(turn) {
    const { onset, audible, margin, score, gauge } = this.tiles;
    figure(onset, whole(turn.onset), "ms");
    figure(audible, whole(turn.audibleOnset), "ms");
    figure(margin, signed(turn.margin), "ms");
    margin.className = turn.margin === null ? "" : turn.margin < 0 ? "bad" : "good";
    figure(score, share(turn.probability), turn.commit === null ? "" : turn.commit ? "commit" : "fall back");
    score.className = turn.commit === null ? "" : turn.commit ? "good" : "bad";
    gauge.hidden = turn.probability === null;
    gauge.className = `gauge ${score.className}`;
    gauge.firstElementChild.style.width = `${100 * (turn.probability ?? 0)}%`;
    gauge.lastElementChild.style.left = `${100 * (turn.threshold ?? 0)}%`;
    gauge.lastElementChild.hidden = turn.threshold === null;
    gauge.title = turn.threshold === null ? "" : `threshold ${share(turn.threshold)}`;
  }

  late(lateness) {
    if (!lateness.length) return;
    const sorted = lateness.toSorted((a, b) => a - b);
    const said = `tick lateness P99 ${sorted[Math.floor(sorted.length * 0.99)].toFixed(0)} ms`;
    if (this.ticks.textContent !== said) this.ticks.textContent = said;
  }
}

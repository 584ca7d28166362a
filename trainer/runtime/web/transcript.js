// What was said, in words: the user's turns and the assistant's, as they are heard.
import { Turn } from "./conversation.js";

const ENDS = { interrupted: "you cut in", cancelled: "stopped", failed: "no answer came", empty: "nothing to say" };

const element = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

const clock = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

/** What of an entry is shown; while it stays the same nothing is drawn anew. */
function signature(entry) {
  if (entry.kind === "user") return `${entry.ended}|${entry.text}|${entry.partial}`;
  return `${entry.kind}|${entry.words.length}|${entry.heardWords}|${entry.outcome}|${entry.commit}|${entry.words.at(-1)?.text}|${entry.unsaid.length}`;
}

function userLine(entry) {
  if (entry.text === "") return element("p", "said soft", "(not understood)");
  const text = entry.text ?? entry.partial;
  return text ? element("p", "said", text) : element("p", "said soft", entry.ended ? "…" : "speaking …");
}

/** Runs of words of one source and one state as one element: prefix, slow path; ahead of the ear; never heard. */
function assistantLine(turn) {
  const line = element("p", "said");
  const heard = turn.heardWords;
  turn.words.forEach((word, i) => {
    const state = i < heard ? "" : turn.outcome ? "unheard" : "ahead";
    const kind = `${turn.kind === "backchannel" ? "back" : word.source} ${state}`.trim();
    let run = line.lastElementChild;
    if (run?.className !== kind) {
      if (run) line.append(" ");
      line.append(run = element(state === "unheard" ? "s" : "span", kind, ""));
    }
    run.textContent += (run.textContent ? " " : "") + word.text;
  });
  if (turn.unsaid.length) line.append(" ", element("s", "unheard", turn.unsaid.join(" ")));
  if (!turn.words.length && !turn.outcome) line.append(element("span", "soft", "…"));
  const note = ENDS[turn.outcome];
  if (note) line.append(" ", element("small", turn.outcome === "interrupted" ? "note cutin" : "note", note));
  return line;
}

export class Transcript {
  /** @param {HTMLOListElement} list  @param {HTMLElement} nothing shown while the list is empty */
  constructor(list, nothing) {
    Object.assign(this, { list, nothing, rows: new Map() });
  }

  /** Brings the list up to date; `start`: page time of 0:00. */
  draw(conversation, start) {
    const pinned = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    let grown = false;
    for (const entry of conversation.entries) {
      const shown = signature(entry);
      const row = this.rows.get(entry);
      if (row?.shown === shown) continue;
      grown = true;
      const made = this.line(entry, start);
      if (row) row.node.replaceWith(made);
      else this.list.append(made);
      this.rows.set(entry, { shown, node: made });
    }
    if (!grown) return;
    this.nothing.hidden = true;
    if (pinned) this.list.scrollTop = this.list.scrollHeight;
  }

  line(entry, start) {
    const backchannel = entry instanceof Turn && entry.kind === "backchannel";
    const li = element("li", entry.kind === "user" ? "user" : backchannel ? "assistant backchannel" : "assistant");
    li.append(element("time", "", clock(Math.max(0, (entry.at.fired ?? entry.began ?? entry.at) - start))));
    li.append(element("b", "", entry.kind === "user" ? "You" : backchannel ? "Aside" : "Assistant"));
    li.append(entry.kind === "user" ? userLine(entry) : assistantLine(entry));
    return li;
  }
}

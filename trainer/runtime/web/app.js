// The page: one button, one conversation. Joins sound, connection and conversation, and draws what is known.
import { NoMicrophone, Sound } from "./audio.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Figures } from "./figures.js";
import { Settings } from "./settings.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

const find = (id) => document.getElementById(id);
const PHASES = { off: "Not connected", opening: "Connecting …", listening: "Listening", user: "You speak", drafting: "Finding words …", fast: "Speaks: fast path", slow: "Speaks: slow path" };
/** Words and tables are drawn this often; the lanes with every frame. */
const WORDS_MS = 80;

const conversation = new Conversation();
const timeline = new Timeline(find("timeline"), conversation);
const transcript = new Transcript(find("transcript"), find("nothing"));
const figures = new Figures(find);
const sound = new Sound({ heard, played, lost: (line) => trouble(line) });
const settings = new Settings(find, {
  session: () => { if (connection) restart(); },
  microphone: () => { if (connection) sound.change(settings.values).catch((error) => end(error.message)); },
  theme: () => repaint(),
});
let connection = null;
let opening = false;

// ---- one conversation ----------------------------------------------------------------------------------------------

/** Microphone first, then the session: a visitor who refuses the one costs no other. */
async function begin() {
  opening = true;
  trouble("");
  draw();
  try {
    await sound.open(settings.values);
    settings.list();
    if (opening) connect();
  } catch (error) {
    if (!(error instanceof NoMicrophone)) throw error;
    end(error.message);
  }
  draw();
}

function connect() {
  conversation.begin();
  conversation.mode = settings.values.mode;
  connection = new Connection(settings.values, { event: receive, end: ({ line, again }) => end(line, again) });
}

/** Another system or voice: the microphone stays open, the session is a new one. */
async function restart() {
  connection.close();
  await sound.halt("*");
  leave();
  connect();
}

/** Ends the conversation; `line`: why, where it was not the visitor's wish. */
async function end(line = "", again = false) {
  opening = false;
  connection?.close();
  connection = null;
  leave();
  timeline.freeze(performance.now());
  trouble(line, again);
  await sound.close();
  draw();
}

/** Turns under way end with the session. */
function leave() {
  for (const turn of conversation.turns) if (!turn.outcome) turn.outcome = "cancelled";
  conversation.userSpeaks = false;
  conversation.entries.forEach((e) => { if (e.kind === "user") e.ended ??= performance.now(); });
}

// ---- sound and events ----------------------------------------------------------------------------------------------

function heard(audio, level, from, to) {
  if (timeline.start !== null) timeline.user.push(from, to, level);
  connection?.send({ type: "input_audio_buffer.append", audio });
}

function played(message) {
  const now = message.at;
  conversation.heard(message, now);
  if (message.what !== "level") return;
  const turn = conversation.byItem.get(message.id);
  const tint = turn?.seam !== null && turn?.seam !== undefined && message.played > turn.seam ? "slow" : turn ? "fast" : timeline.tint ?? "fast";
  if (message.kind === "response") timeline.tint = tint;
  timeline[message.kind === "response" ? "assistant" : "backchannel"].push(now - 20, now, message, tint);
}

function receive(event) {
  if (event.type === "session.created") live();
  for (const job of conversation.receive(event, performance.now())) jobs[job.do](job);
  if (event.type === "session.created" || event.type === "relay.hello") settings.offer(conversation.hello);
}

function live() {
  opening = false;
  timeline.freeze(null);
  timeline.start ??= performance.now();
  timeline.look(0);
  draw();
}

const jobs = {
  say: ({ id, kind, audio }) => sound.say(id, kind, audio),
  last: ({ id, kind }) => sound.last(id, kind),
  halt: ({ which }) => halt(which),
  retrieve: ({ id }) => connection?.send({ type: "conversation.item.retrieve", item_id: id }),
  complain: ({ code, line }) => { if (code !== "response_cancel_not_active") trouble(line); },
};

/** Silence at once; then the server learns how much of it was really played. */
async function halt(which) {
  const { items, ms } = await sound.halt(which);
  for (const { id, kind, played: heardMs } of items) {
    const turn = conversation.byItem.get(id);
    if (turn) Object.assign(turn, { stopMs: ms, played: heardMs });
    if (kind === "response") connection?.send({ type: "conversation.item.truncate", item_id: id, content_index: 0, audio_end_ms: Math.round(heardMs) });
  }
}

/** The visitor wants silence, without speaking. */
function hush() {
  const turn = conversation.current();
  if (!connection || !turn || turn.outcome && !turn.audible) return;
  turn.hushed = true;
  connection.send({ type: "response.cancel" });
  halt("*");
}

// ---- drawing -------------------------------------------------------------------------------------------------------

function trouble(line, again = false) {
  find("trouble").hidden = !line;
  find("trouble").firstElementChild.textContent = line;
  find("again").hidden = !again;
}

function draw() {
  const phase = opening || connection && !connection.opened ? "opening" : connection ? conversation.phase : "off";
  if (find("status").dataset.phase !== phase) {
    find("status").dataset.phase = phase;
    find("status").lastElementChild.textContent = PHASES[phase];
  }
  find("talk").dataset.on = Boolean(connection || opening);
  find("talk").lastElementChild.textContent = connection || opening ? "End" : "Talk";
  find("hush").hidden = !(connection && (phase === "fast" || phase === "slow"));
  transcript.draw(conversation, timeline.start ?? 0);
  figures.draw(conversation);
}

/** Visitors who want little motion get the lanes in steps. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let words = 0;
function frame(now) {
  const due = now - words > WORDS_MS;
  if (connection && timeline.start !== null && (due || !calm.matches)) timeline.draw(performance.now());
  if (due) {
    words = now;
    if (connection) draw();
  }
  requestAnimationFrame(frame);
}

function repaint() {
  timeline.colour();
  timeline.draw(timeline.now ?? 0);
}

find("talk").addEventListener("click", () => connection || opening ? end() : begin());
find("again").addEventListener("click", begin);
find("hush").addEventListener("click", hush);
find("live").addEventListener("click", () => timeline.look(0));
timeline.onlook = (past) => { find("live").hidden = !past; };
document.addEventListener("keydown", (e) => { if (e.key === "Escape") hush(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
window.addEventListener("pagehide", () => connection?.close());
repaint();
draw();
requestAnimationFrame(frame);

/** For tests and the curious: look, do not touch. */
window.relay = { conversation, timeline };

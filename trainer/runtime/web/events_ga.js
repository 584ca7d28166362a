// The Realtime (GA) events that a conversation learns from: name -> (conversation, event, now, todo).

/** Outcome of a response from the standard's status. */
function outcome({ status, status_details: details }, kind) {
  if (status === "cancelled") return details?.reason === "turn_detected" ? "interrupted" : "cancelled";
  return status === "completed" || status === "failed" ? status : kind ?? "completed";
}

function user(conversation, id, now) {
  const known = conversation.entries.find((e) => e.kind === "user" && e.id === id);
  return known ?? conversation.add({ kind: "user", id, at: now, ended: null, text: null, partial: "" });
}

/** Appends a delta: a word of its own where it has a time, else glued as the standard does. */
function words(turn, delta, start, source) {
  const apart = typeof start === "number" || /^\s/.test(delta) || /(^|\s)$/.test(turn.text);
  turn.text += (apart && turn.text && !/\s$/.test(turn.text) && !/^\s/.test(delta) ? " " : "") + delta;
  const [first, ...rest] = delta.split(/\s+/).filter(Boolean);
  if (first === undefined) return;
  const ms = typeof start === "number" ? start * 1000 : null;
  if (apart || !turn.words.length) push(turn, first, ms, source);
  else turn.words.at(-1).text += first;
  for (const word of rest) push(turn, word, ms, source);
}

function push(turn, text, start, source) {
  const own = turn.mode === "s2s" || turn.kind === "backchannel" || turn.words.length < turn.prefixWords;
  turn.words.push({ text, start, source: source ?? (own ? "fast" : "slow") });
}

export const ga = {
  "session.created": (c, e) => { c.hello = e.session ?? {}; },
  "relay.hello": (c, e) => { c.hello = { ...c.hello, ...e }; },

  "input_audio_buffer.speech_started": (c, e, now, todo) => {
    c.userSpeaks = true;
    const turn = c.current();
    if (turn?.audible && turn.kind === "turn") barge(c, turn, now);
    user(c, e.item_id, now);
    todo.push({ do: "halt", which: "response" });
  },
  "input_audio_buffer.speech_stopped": (c, e, now) => {
    c.userSpeaks = false;
    user(c, e.item_id, now).ended = now;
  },
  "conversation.item.input_audio_transcription.delta": (c, e, now) => { user(c, e.item_id, now).partial += e.delta ?? ""; },
  "conversation.item.input_audio_transcription.completed": (c, e, now) => { user(c, e.item_id, now).text = e.transcript ?? ""; },
  "conversation.item.input_audio_transcription.failed": (c, e, now) => { user(c, e.item_id, now).text ??= ""; },

  "response.created": (c, e, now) => {
    const { id, metadata } = e.response ?? {};
    const number = Number.parseInt(metadata?.turn ?? "", 10);
    const turn = c.response(Number.isNaN(number) ? undefined : number, "turn", now);
    turn.response = id;
    turn.mode = c.mode;
    c.answering = turn;
  },
  "response.output_item.added": (c, e) => {
    const turn = c.turns.findLast((t) => t.response === e.response_id);
    if (!turn || !e.item?.id) return;
    turn.item = e.item.id;
    c.byItem.set(turn.item, turn);
  },
  "response.output_audio_transcript.delta": (c, e) => {
    const turn = c.byItem.get(e.item_id);
    if (turn) words(turn, e.delta ?? "", e.start_time, e.source);
  },
  "response.output_audio.delta": (_, e, __, todo) => { todo.push({ do: "say", id: e.item_id, kind: "response", audio: e.delta ?? "" }); },
  "response.output_audio.done": (_, e, __, todo) => { todo.push({ do: "last", id: e.item_id, kind: "response" }); },
  "response.done": (c, e, now, todo) => {
    const turn = c.turns.findLast((t) => t.response === e.response?.id);
    if (!turn) return;
    turn.outcome = turn.told ?? outcome(e.response, turn.outcome);
    turn.at.end ??= now;
    for (const [key, value] of Object.entries(e.response.metadata ?? {})) turn.record[key] = number(value);
    turn.margin ??= turn.record.margin_ms ?? null;
    if (e.response.status === "cancelled" && turn.item) todo.push({ do: "halt", which: turn.item });
  },
  "conversation.item.truncated": (_, e, __, todo) => { todo.push({ do: "retrieve", id: e.item_id }); },
  "conversation.item.retrieved": (c, e) => {
    const turn = c.byItem.get(e.item?.id);
    const heard = e.item?.content?.[0]?.transcript;
    if (turn && typeof heard === "string") Object.assign(turn, { heard, certain: true });
  },

  "relay.backchannel": (c, e, now, todo) => {
    const id = `backchannel ${e.turn ?? e.item_id}`;
    const turn = c.byItem.get(id) ?? c.response(e.turn, "backchannel", now);
    c.byItem.set(id, Object.assign(turn, { item: id, kind: "backchannel" }));
    if (e.word) words(turn, e.word, (e.start_ms ?? 0) / 1000, "fast");
    if (e.text && !turn.words.length) words(turn, e.text, undefined, "fast");
    const audio = e.audio ?? e.delta ?? "";
    if (audio) todo.push({ do: "say", id, kind: "backchannel", audio });
    if (!e.last) return;
    turn.outcome = e.outcome ?? "completed";
    if (turn.outcome === "completed") todo.push({ do: "last", id, kind: "backchannel" });
    else todo.push({ do: "halt", which: id });
  },
  "relay.ended": (c, e) => {
    const turn = c.byNumber.get(e.turn);
    if (!turn) return;
    Object.assign(turn.record, e.record);
    turn.margin ??= turn.record.margin_ms ?? null;
    turn.told = turn.outcome = e.outcome ?? turn.outcome;
    if (!turn.certain && typeof e.heard === "string") turn.heard = e.heard;
  },
  "error": (_, e, __, todo) => { todo.push({ do: "complain", code: e.error?.code, line: e.error?.message ?? "The server reports an error." }); },
};

const number = (value) => value !== "" && typeof value === "string" && !Number.isNaN(Number(value)) ? Number(value) : value;

/** The user cut in: marked once per turn. */
export function barge(conversation, turn, at) {
  if (turn.at.barge !== undefined) return;
  turn.at.barge = at;
  conversation.keep(conversation.barges, { at, turn });
}

// The OpenAI SDK for JavaScript (package openai): raw events over TLS alone; truncates and retrieves by hand.

import { HEARD_MS, Log, Microphone, address, require, run, sleep } from "./common.mjs";

const { OpenAI } = require("openai");
const { OpenAIRealtimeWS } = require("openai/realtime/ws");

async function scenario() {
  const log = new Log();
  const client = new OpenAI({ apiKey: "none", baseURL: address.replace("wss:", "https:") });
  const socket = new OpenAIRealtimeWS({ model: "relay" }, client);
  socket.on("event", (event) => log.add(event.type, event));
  socket.on("error", (error) => log.add("failed", error));
  await log.first("session.created");
  socket.send({ type: "session.update", session: { type: "realtime", instructions: "be kind" } });
  await log.first("session.updated");
  const microphone = new Microphone((frame) =>
    socket.send({ type: "input_audio_buffer.append", audio: frame.toString("base64") }),
  );
  const report = await spoken(socket, log, microphone);
  microphone.close();
  socket.close();
  return { ...report, errors: log.all("failed").map(String) };
}

async function spoken(socket, log, microphone) {
  await microphone.say("turn");
  const done = (await log.first("response.done")).response.output[0];
  const audio = log
    .all("response.output_audio.delta")
    .reduce((sum, event) => sum + Buffer.from(event.delta, "base64").length, 0);
  const turn = { item: done.id, text: done.content[0].transcript, audio };
  let place = log.length;
  await microphone.say("turn");
  const item_id = (await log.first("response.output_audio.delta", place)).item_id;
  const began = Date.now();
  await sleep(HEARD_MS);
  place = log.length;
  const saying = microphone.say("barge");
  await log.first("input_audio_buffer.speech_started", place);
  const audio_end_ms = Date.now() - began;
  socket.send({ type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms });
  await log.first("conversation.item.truncated", place);
  socket.send({ type: "conversation.item.retrieve", item_id });
  const item = (await log.first("conversation.item.retrieved", place)).item;
  await saying;
  await log.first("response.output_audio.delta", place, (event) => event.item_id !== item_id);
  place = log.length;
  socket.send({ type: "response.cancel" });
  const stopped = (await log.first("response.done", place)).response.status;
  place = log.length;
  const content = [{ type: "input_text", text: "Hello there." }];
  socket.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
  socket.send({ type: "response.create" });
  const last = (await log.first("response.done", place)).response.output[0];
  const written = { item: last.id, text: last.content[0].transcript, stopped };
  return { turn, written, barge_in: { item: item_id, retrieved: item.content[0].transcript } };
}

await run("openai", scenario);

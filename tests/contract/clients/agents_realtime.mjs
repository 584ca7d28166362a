// The OpenAI Agents SDK for JavaScript (package @openai/agents-realtime): its session truncates and retrieves by itself.

import { HEARD_MS, Log, Microphone, address, require, run, sleep } from "./common.mjs";

const { RealtimeAgent, RealtimeSession } = require("@openai/agents-realtime");

async function scenario() {
  const log = new Log();
  const agent = new RealtimeAgent({ name: "relay", instructions: "be kind" });
  const session = new RealtimeSession(agent, { transport: "websocket", model: "relay" });
  session.on("audio", (event) => log.add("audio", event));
  session.on("audio_interrupted", (event) => log.add("interrupted", event ?? true));
  session.on("error", (event) => log.add("error", event));
  session.on("transport_event", (event) => log.add(event.type, event));
  await session.connect({ apiKey: "none", url: `${address}/realtime` });
  await log.first("session.updated");
  const microphone = new Microphone((frame) => session.sendAudio(new Uint8Array(frame).buffer));
  const report = await spoken(session, log, microphone);
  microphone.close();
  session.close();
  return { ...report, errors: log.all("error").map((event) => JSON.stringify(event.error)) };
}

async function spoken(session, log, microphone) {
  await microphone.say("turn");
  const item = (await log.first("response.done")).response.output[0].id;
  const audio = log.all("audio").reduce((sum, event) => sum + event.data.byteLength, 0);
  const turn = { item, text: await remembered(session, item), audio };
  let place = log.length;
  await microphone.say("turn");
  const second = (await log.first("response.output_audio.delta", place)).item_id;
  await sleep(HEARD_MS);
  place = log.length;
  const saying = microphone.say("barge");
  await log.first("interrupted", place);
  await log.first("conversation.item.truncated", place);
  await log.first("conversation.item.retrieved", place, (event) => event.item.id === second);
  await saying;
  await log.first("response.output_audio.delta", place, (event) => event.item_id !== second);
  place = log.length;
  session.interrupt();
  const stopped = (await log.first("response.done", place)).response.status;
  place = log.length;
  session.sendMessage("Hello there.");
  const last = (await log.first("response.done", place)).response.output[0].id;
  const written = { item: last, text: await remembered(session, last), stopped };
  const roles = session.history.map((one) => one.role);
  return { turn, barge_in: { item: second, retrieved: await remembered(session, second) }, written, roles };
}

// The words of an item in the SDK's own history.
async function remembered(session, item) {
  await sleep(200);
  const found = session.history.find((one) => one.itemId === item);
  return found.content.map((part) => part.transcript ?? "").join(" ");
}

await run("@openai/agents-realtime", scenario);

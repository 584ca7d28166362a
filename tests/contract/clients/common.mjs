// What the stock JavaScript clients share: a microphone, a log of events to wait for, the report.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const RATE = 24_000;
const FRAME_MS = 40;
const FRAME = ((RATE * FRAME_MS) / 1000) * 2;
const PATIENCE_MS = 40_000;
export const HEARD_MS = 1_200;

const modules = join(process.env.CLIENTS_ENV, "node", "package.json");
export const require = createRequire(modules);
export const version = (name) => {
  const found = join(process.env.CLIENTS_ENV, "node", "node_modules", name, "package.json");
  return `${name} ${JSON.parse(readFileSync(found, "utf-8")).version}`;
};

export const [address, folder] = process.argv.slice(2);
const sentence = (name) => readFileSync(join(folder, `${name}.raw`));
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Sends 40 ms at a time in real time: what is to be said, silence else.
export class Microphone {
  constructor(send) {
    this.left = Buffer.alloc(0);
    const began = Date.now();
    let frames = 0;
    this.timer = setInterval(() => {
      for (; frames * FRAME_MS < Date.now() - began; frames += 1) {
        const frame = Buffer.alloc(FRAME);
        this.left.copy(frame, 0, 0, FRAME);
        this.left = this.left.subarray(FRAME);
        send(frame);
      }
    }, FRAME_MS);
  }

  async say(name) {
    this.left = sentence(name);
    while (this.left.length) await sleep(FRAME_MS);
  }

  close() {
    clearInterval(this.timer);
  }
}

// What has happened, in order; others wait for what comes.
export class Log {
  events = [];

  add(type, event) {
    this.events.push([type, event]);
  }

  get length() {
    return this.events.length;
  }

  all(type, after = 0) {
    return this.events.slice(after).filter(([name]) => name === type).map(([, event]) => event);
  }

  async first(type, after = 0, fits = () => true) {
    for (let waited = 0; waited < PATIENCE_MS; waited += 10) {
      const found = this.all(type, after).find(fits);
      if (found !== undefined) return found;
      await sleep(10);
    }
    const came = this.events.slice(after).map(([name]) => name).slice(-40);
    throw new Error(`${type} did not come, but ${came}`);
  }
}

// The last line of the output is the report.
export async function run(client, scenario) {
  const report = await scenario();
  console.log(JSON.stringify({ client: version(client), ...report }));
  process.exit(0);
}

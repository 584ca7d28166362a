// One WebSocket session in the server's Realtime dialect, and its end in plain words.

/** The server's words for a session that finds no place. */
const FULL = /session_limit|session limit|capacity|too many/i;
/** More unsent bytes than this (about 30 s of audio): the other side has stopped reading. */
const STUCK_BYTES = 2_000_000;

/** The token in the page's address (#token=...), or "". It never leaves the fragment but for the subprotocol. */
export function token() {
  return new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
}

/** Why the session ended: {line, again}. `opened`: it had begun; `code`: the last error the server named. */
export async function farewell({ opened, close, code }) {
  const said = `${code ?? ""} ${close.reason}`;
  if (FULL.test(said) || close.code === 1013) return { line: "The server is full: every session is taken. Try again in a moment.", again: true };
  if (opened && close.code === 1000) return { line: close.reason ? `The server ended the session: ${close.reason}.` : "The server ended the session.", again: true };
  if (opened && close.code === 1008) return { line: `The server refused to go on${close.reason ? `: ${close.reason}` : ""}.`, again: true };
  if (opened) return { line: "The connection was lost.", again: true };
  const health = await fetch("/health", { cache: "no-store" }).catch(() => null);
  if (!health) return { line: "The server does not answer.", again: true };
  if (!health.ok) return { line: "The server is not ready, or full. Try again in a moment.", again: true };
  const line = token() ? "The server refused the connection: the token in this page's address is wrong."
    : "The server refused the connection. If it wants a token, open the page with #token=... in its address.";
  return { line, again: true };
}

export class Connection {
  /**
   * Connects at once.
   * @param {{mode: string, voice: string}} settings
   * @param {{event: (e: object) => void, end: (why: {line: string, again: boolean}) => void}} on
   *   event: every server event; end: once, when the session ends and it was not this page that ended it
   */
  constructor(settings, on) {
    this.settings = settings;
    this.on = on;
    this.opened = false;
    this.code = null;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const query = new URLSearchParams({ model: "relay", events: "relay", mode: settings.mode });
    const offered = token() ? ["realtime", `openai-insecure-api-key.${token()}`] : ["realtime"];
    this.socket = new WebSocket(`${scheme}//${location.host}/v1/realtime?${query}`, offered);
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = async (close) => this.on?.end(await farewell({ opened: this.opened, close, code: this.code }));
  }

  take(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (event.type === "session.created") {
      this.opened = true;
      this.configure();
    }
    if (event.type === "error") this.code = event.error?.code ?? null;
    this.on?.event(event);
  }

  configure() {
    const format = { type: "audio/pcm", rate: 24000 };
    const output = this.settings.voice ? { format, voice: this.settings.voice } : { format };
    this.send({ type: "session.update", session: { type: "realtime", audio: { input: { format }, output } } });
  }

  /** Sends an event; gives false where nobody takes it any more. */
  send(event) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    if (this.socket.bufferedAmount > STUCK_BYTES) this.socket.close();
    else this.socket.send(JSON.stringify(event));
    return true;
  }

  /** Ends the session; nothing is reported of it afterwards. */
  close() {
    this.on = null;
    this.socket.close(1000);
  }
}

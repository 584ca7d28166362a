// What the visitor chose: mode, voice, microphone, echo cancellation, theme; kept in this browser.
import { microphones } from "./audio.js";

const KEY = "relay.settings";
const THEMES = { "": "as the system", light: "light", dark: "dark" };

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

export class Settings {
  /**
   * @param {(id: string) => HTMLElement} find
   * @param {{session: () => void, microphone: () => void, theme: () => void}} on what must begin anew
   */
  constructor(find, on) {
    Object.assign(this, { find, on });
    this.values = { mode: "relay", voice: "", microphone: "", echo: true, theme: "", ...stored() };
    this.show();
    this.bind();
    this.list().catch(() => {});
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.list());
  }

  show() {
    const { mode, voice, echo, theme } = this.values;
    const radio = [...this.find("mode").querySelectorAll("input")].find((input) => input.value === mode);
    if (radio) radio.checked = true;
    this.find("voice").value = voice;
    this.find("echo").checked = echo;
    document.documentElement.style.colorScheme = theme || "light dark";
    const said = `Theme: ${THEMES[theme] ?? THEMES[""]}`;
    Object.assign(this.find("theme"), { title: said, ariaLabel: said, textContent: { light: "☀", dark: "☾" }[theme] ?? "◐" });
  }

  bind() {
    this.find("mode").addEventListener("change", (e) => this.set("mode", e.target.value, "session"));
    this.find("voice").addEventListener("change", (e) => this.set("voice", e.target.value.trim(), "session"));
    this.find("microphone").addEventListener("change", (e) => this.set("microphone", e.target.value, "microphone"));
    this.find("echo").addEventListener("change", (e) => this.set("echo", e.target.checked, "microphone"));
    this.find("theme").addEventListener("click", () => {
      const names = Object.keys(THEMES);
      this.set("theme", names[(names.indexOf(this.values.theme) + 1) % names.length], "theme");
    });
    const sheet = this.find("settings");
    document.addEventListener("pointerdown", (e) => { if (!sheet.contains(e.target)) sheet.open = false; });
    sheet.addEventListener("keydown", (e) => { if (e.key === "Escape") { sheet.open = false; e.stopPropagation(); } });
  }

  set(name, value, part) {
    this.values[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.values));
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    this.show();
    this.on[part]();
  }

  /** Fills the list of microphones; their names are known only once one was allowed. */
  async list() {
    const found = await microphones();
    const options = [new Option("the system's own", ""), ...found.map(({ id, label }) => new Option(label, id))];
    this.find("microphone").replaceChildren(...options);
    this.find("microphone").value = found.some(({ id }) => id === this.values.microphone) ? this.values.microphone : "";
  }

  /** Voices and modes that the server names; without names anything may be typed. */
  offer({ voices, modes, audio, relay } = {}) {
    const own = audio?.output?.voice;
    const named = voices ?? relay?.voices ?? (typeof own === "string" && own ? [own] : []);
    this.find("voices").replaceChildren(...named.map((voice) => new Option(String(voice))));
    if (typeof own === "string" && own) this.find("voice").placeholder = own;
    const allowed = modes ?? relay?.modes;
    for (const input of this.find("mode").querySelectorAll("input")) input.disabled = Boolean(allowed && !allowed.includes(input.value));
  }
}

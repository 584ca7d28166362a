"use strict";
// Conversation players: sound, keys, clicks, transcript. Audio is decoded on the first play; report_draw.js draws.
(() => {
  const ZOOM = 130, SEEK = 2;
  const SPEAKERS = JSON.parse(document.getElementById("page").textContent).speakers;
  const { clock } = Draw;
  const players = [];
  let context = null, playing = null;

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  class Player {
    constructor(root) {
      const find = (selector) => root.querySelector(selector);
      this.root = root;
      this.data = JSON.parse(find(".drawing").textContent);
      this.envelope = Object.fromEntries(SPEAKERS.map((s) => [s, bytes(this.data.envelope[s])]));
      this.position = 0;
      this.zoom = ZOOM;
      this.muted = { assistant: false, user: false };
      this.solo = { assistant: false, user: false };
      this.stereo = true;
      this.audible = (s) => !this.muted[s] && (this.solo[s] || !SPEAKERS.some((o) => this.solo[o]));
      this.gains = null;
      this.view = find(".view"); this.space = find(".space"); this.lanes = find(".lanes");
      this.map = find(".map"); this.frame = find(".window");
      this.cursors = [find(".space .cursor"), find(".map .cursor")];
      this.time = find(".time"); this.button = find(".play"); this.list = find(".transcript");
      this.listen(find);
      this.transcribe();
      this.draw();
    }

    listen(find) {
      const all = (selector, act) => this.root.querySelectorAll(selector).forEach((b) => b.addEventListener("click", () => act(b)));
      this.button.addEventListener("click", () => this.toggle());
      all(".mute", (b) => this.mix(this.muted, b));
      all(".solo", (b) => this.mix(this.solo, b));
      find(".stereo").addEventListener("click", (e) => { this.stereo = !this.stereo; e.currentTarget.setAttribute("aria-pressed", this.stereo); this.route(); });
      find(".in").addEventListener("click", () => this.scale(this.zoom * 1.5));
      find(".out").addEventListener("click", () => this.scale(this.zoom / 1.5));
      find(".fit").addEventListener("click", () => this.scale(0));
      this.view.addEventListener("scroll", () => this.draw());
      this.view.addEventListener("click", (e) => this.seek((e.clientX - this.view.getBoundingClientRect().left + this.view.scrollLeft) / this.zoom));
      const drag = (e) => { const box = this.map.getBoundingClientRect(); this.seek((e.clientX - box.left) / box.width * this.data.duration); };
      this.map.addEventListener("pointerdown", (e) => { this.map.setPointerCapture(e.pointerId); drag(e); });
      this.map.addEventListener("pointermove", (e) => { if (e.buttons & 1) drag(e); });
      this.root.addEventListener("keydown", (e) => this.key(e));
      new ResizeObserver(() => this.draw()).observe(this.view);
    }

    key(event) {
      const own = event.target === this.root;
      if (event.key === " " && (own || !event.target.closest("button, summary"))) this.toggle();
      else if (event.key === "ArrowLeft") this.seek(this.position - SEEK);
      else if (event.key === "ArrowRight") this.seek(this.position + SEEK);
      else if (event.key === "Home" && own) this.seek(0);
      else return;
      event.preventDefault();
    }

    mix(state, button) {
      const speaker = button.dataset.speaker;
      state[speaker] = !state[speaker];
      button.setAttribute("aria-pressed", state[speaker]);
      this.route();
      this.draw();
    }

    route() {
      if (!this.gains) return;
      for (const s of SPEAKERS) {
        this.gains[s].gain.value = this.audible(s) ? 1 : 0;
        this.pans[s].pan.value = this.stereo ? (s === "assistant" ? -0.8 : 0.8) : 0;
      }
    }

    async decode() {
      context ??= new AudioContext();
      this.gains = {}; this.pans = {}; this.audio = {};
      for (const s of SPEAKERS) {
        const source = this.root.querySelector(`.flac[data-speaker="${s}"]`);
        this.audio[s] = await context.decodeAudioData(bytes(source.textContent.trim()).buffer);
        this.gains[s] = context.createGain();
        this.pans[s] = context.createStereoPanner();
        this.gains[s].connect(this.pans[s]).connect(context.destination);
      }
      this.route();
    }

    async toggle() {
      if (playing === this) return this.pause();
      if (playing) playing.pause();
      playing = this;
      this.button.textContent = "❚❚"; this.button.setAttribute("aria-label", "Pause");
      try {
        await (this.ready ??= this.decode());
        await context.resume();
      } catch (error) {
        this.pause();
        const trouble = this.root.querySelector(".trouble");
        trouble.textContent = `This browser could not decode the FLAC audio (${error.message}).`;
        trouble.hidden = false;
        return undefined;
      }
      if (playing === this) this.start();
      return undefined;
    }

    start() {
      if (this.position >= this.data.duration - 0.05) this.position = 0;
      const at = context.currentTime + 0.02;
      this.began = at - this.position;
      this.sources = SPEAKERS.map((s) => {
        const source = context.createBufferSource();
        source.buffer = this.audio[s];
        source.connect(this.gains[s]);
        source.start(at, this.position);
        return source;
      });
      this.tick();
    }

    stop() {
      (this.sources || []).forEach((s) => { s.stop(); s.disconnect(); });
      this.sources = null;
      cancelAnimationFrame(this.next);
    }

    pause() {
      this.stop();
      if (playing === this) playing = null;
      this.button.textContent = "▶"; this.button.setAttribute("aria-label", "Play");
    }

    tick() {
      this.position = clamp(context.currentTime - this.began, 0, this.data.duration);
      this.follow();
      this.place();
      if (this.position >= this.data.duration) this.pause();
      else this.next = requestAnimationFrame(() => this.tick());
    }

    follow() {
      const x = this.position * this.zoom, width = this.view.clientWidth, left = this.view.scrollLeft;
      if (x < left || x > left + width * 0.85) this.view.scrollLeft = x - width * 0.15;
    }

    seek(time) {
      this.position = clamp(time, 0, this.data.duration);
      if (this.sources) { this.stop(); this.start(); } else { this.follow(); this.place(); }
    }

    scale(zoom) {
      const middle = this.position * this.zoom - this.view.scrollLeft, width = this.view.clientWidth;
      const fit = width / this.data.duration;
      this.zoom = clamp(zoom, Math.min(fit, ZOOM), 600);
      this.draw();
      this.view.scrollLeft = this.position * this.zoom - clamp(middle, 0, width);
      this.draw();
    }

    place() {
      const width = this.map.clientWidth;
      this.cursors[0].style.transform = `translateX(${this.position * this.zoom}px)`;
      this.cursors[1].style.transform = `translateX(${this.position / this.data.duration * width}px)`;
      this.time.textContent = `${clock(this.position)} / ${clock(this.data.duration)}`;
      for (const [span, start, end] of this.words) span.classList.toggle("now", start <= this.position && this.position < end && this.position > 0);
    }

    draw() {
      const width = this.view.clientWidth, { zoom, data } = this;
      if (!width) return;
      const whole = Math.max(data.duration * zoom, width);
      this.space.style.width = `${whole}px`;
      const left = Math.min(this.view.scrollLeft, whole - width);
      Draw.lanes(this.lanes, width, left, this);
      Draw.map(this.map.firstElementChild, this.map.clientWidth, this);
      this.frame.style.left = `${left / whole * 100}%`;
      this.frame.style.width = `${width / whole * 100}%`;
      this.place();
    }

    transcribe() {
      this.words = [];
      for (const s of this.data.segments) {
        const line = document.createElement("li"), jump = document.createElement("button"), who = document.createElement("span"), said = document.createElement("q");
        line.className = s.kind;
        jump.type = "button"; jump.textContent = clock(s.start); jump.setAttribute("aria-label", `Go to ${clock(s.start)}`);
        jump.addEventListener("click", () => this.seek(s.start));
        who.textContent = s.speaker; who.className = s.speaker;
        for (const [word, start, end] of s.words) {
          const span = document.createElement("span");
          span.textContent = word;
          said.append(span, " ");
          this.words.push([span, start, end]);
        }
        if (!s.words.length) said.append(s.text);
        const unsaid = s.yielded ? s.full.split(/\s+/).slice(s.words.length).join(" ") : "";
        if (unsaid) { const rest = document.createElement("s"); rest.textContent = unsaid; rest.title = "written, but cut by the barge-in"; said.append(rest); }
        line.append(jump, who, said);
        this.list.append(line);
      }
    }
  }

  document.querySelectorAll(".player").forEach((root) => players.push(new Player(root)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { Draw.recolour(); players.forEach((p) => p.draw()); });
  addEventListener("beforeprint", () => players.forEach((p) => { p.before = p.zoom; p.scale(0); }));
  addEventListener("afterprint", () => players.forEach((p) => p.scale(p.before)));
  window.duplexReport = { players };
})();

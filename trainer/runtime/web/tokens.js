// The model's tokens, one per tick of 160 ms, however they are spelt. Pure.

/** Length of a tick, ms. */
export const TICK_MS = 160;

/** Control tokens that are drawn; silence and padding are not. */
const CONTROL = new Set(["BOS", "BOC", "STP", "EOS", "HOD"]);
const SILENT = new Set(["", "SIL", "PAD"]);

/** {kind: "control" | "text" | "silent", name} of a token: [BOS], bos, <|endoftext|>, " word". */
export function token(raw) {
  const text = String(raw ?? "").replace(/^<\|?|\|?>$/g, "").replace(/^\[|\]$/g, "").trim();
  const name = text.toUpperCase() === "ENDOFTEXT" ? "EOS" : text.toUpperCase();
  if (SILENT.has(name)) return { kind: "silent", name };
  return CONTROL.has(name) ? { kind: "control", name } : { kind: "text", name: text };
}

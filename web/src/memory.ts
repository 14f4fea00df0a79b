// What one example gives to the next: `{{reply}}` in variables is the reply that came last.

import type { ExecutionResult } from "graphql";
import { adopt, session } from "./session";

const SOURCES = { character: "Characters", chat: "SendMessage", reply: "SendMessage" } as const;

const known = new Map<string, string>();

/** Puts values into the places `{{…}}` of variables. */
export function fill(value: unknown): unknown {
  if (typeof value === "string") return value.replace(/\{\{(\w+)\}\}/g, (_, name: string) => recall(name));
  if (Array.isArray(value)) return value.map(fill);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner)]));
}

/** Looks for what later operations need: ids, and the tokens of a sign-in. */
export function remember(result: ExecutionResult): void {
  for (const value of Object.values(result.data ?? {})) {
    const payload = (value ?? {}) as { [key: string]: unknown; nodes?: unknown[] };
    adopt(payload);
    for (const name of ["chat", "reply"] as const) note(name, payload[name]);
    if (result.data?.["characters"] === value) note("character", payload.nodes?.[0]);
  }
}

function note(name: keyof typeof SOURCES, node: unknown): void {
  const id = (node as { id?: unknown } | undefined | null)?.id;
  if (typeof id === "string") known.set(name, id);
}

function recall(name: string): string {
  const value = name === "refreshToken" ? session.get()?.refreshToken : known.get(name);
  if (value !== undefined) return value;
  if (name === "refreshToken") throw new Error("Nobody is signed in: {{refreshToken}} has no value yet.");
  const source = SOURCES[name as keyof typeof SOURCES];
  throw new Error(
    source ? `{{${name}}} has no value yet: run ${source} first.` : `There is no {{${name}}}; known are ${list()}.`,
  );
}

function list(): string {
  return [...Object.keys(SOURCES), "refreshToken"].map((name) => `{{${name}}}`).join(", ");
}

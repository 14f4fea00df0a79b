// Values of earlier responses for the variables of the prepared tabs: `{{reply}}` is the id of the newest reply.

import type { ExecutionResult } from "graphql";
import { adopt, session } from "./session";

/** The placeholders, and the tab whose response has the value of each. */
const SOURCES = {
  character: "Characters",
  model: "Welcome",
  chat: "SendMessage",
  reply: "SendMessage",
  refreshToken: "Register or Login",
} as const;

const KEY = "duologue:known";
// Stored, because the tabs that use the values also survive a reload.
const known = restore();

/** Replaces the placeholders `{{…}}` in variables, or names one that has no value. */
export function fill(variables: unknown): { value: unknown } | { missing: string; why: string } {
  const missing: string[] = [];
  const walk = (value: unknown): unknown => {
    if (typeof value === "string") {
      return value.replace(/\{\{(\w+)\}\}/g, (placeholder, name: string) => recall(name) ?? (missing.push(name), placeholder));
    }
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner)]));
  };
  const value = walk(variables);
  return missing[0] === undefined ? { value } : { missing: missing[0], why: explain(missing[0]) };
}

/** Stores the values that later operations need: ids, and the tokens of a sign-in. */
export function remember(result: ExecutionResult): void {
  for (const value of Object.values(result.data ?? {})) {
    const payload = (value ?? {}) as { [key: string]: unknown; nodes?: unknown[] };
    adopt(payload);
    for (const name of ["chat", "reply"] as const) note(name, payload[name]);
    if (result.data?.["characters"] === value) note("character", payload.nodes?.[0]);
    if (result.data?.["models"] === value) note("model", slowest(value as Model[]));
  }
}

interface Model {
  id?: string;
  isDefault?: boolean;
  isAvailable?: boolean;
}

/** The demo's slow model, so that there is time to stop a reply; without the demo, the default model. */
function slowest(models: Model[]): Model | undefined {
  const isReady = (model: Model) => model.isAvailable !== false;
  return models.find((model) => model.id === "demo/slow" && isReady(model)) ?? models.find(({ isDefault }) => isDefault);
}

function note(name: keyof typeof SOURCES, node: unknown): void {
  const id = (node as { id?: unknown } | undefined | null)?.id;
  if (typeof id !== "string") return;
  known.set(name, id);
  sessionStorage.setItem(KEY, JSON.stringify([...known]));
}

function restore(): Map<string, string> {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(KEY) ?? "[]") as [string, string][]);
  } catch {
    return new Map();
  }
}

function recall(name: string): string | undefined {
  return name === "refreshToken" ? session.get()?.refreshToken : known.get(name);
}

function explain(name: string): string {
  const source: string | undefined = SOURCES[name as keyof typeof SOURCES];
  if (source) return `{{${name}}} has no value yet: run ${source} first.`;
  const names = Object.keys(SOURCES).map((known) => `{{${known}}}`);
  return `{{${name}}} does not exist. The placeholders are ${names.join(", ")}.`;
}

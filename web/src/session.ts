// The session.
//
// The tokens are stored in sessionStorage: they survive a reload, and are deleted with the browser tab. Alternatives:
// - In memory, they would not survive a reload. It would be no safer: a foreign script could call the functions of this
//   module, and the content security policy allows no foreign scripts.
// - localStorage would keep a refresh token on disk for days.
// - Cookies would need protection against cross-site request forgery.

import { codes, post } from "./http";
import { Store } from "./store";

export interface Session {
  id: string;
  username: string;
  accessToken: string;
  /** In milliseconds since 1970, by the clock of this machine. */
  expiresAt: number;
  refreshToken: string;
}

const KEY = "duologue:session";
/** How long before its expiry a token is refreshed, in milliseconds. */
const MARGIN = 30_000;
/** The minimum time between refreshes, in milliseconds, so that a wrong clock does not cause a loop. */
const SHORTEST_WAIT = 5_000;
/** The error codes for a refresh token that is no longer valid. */
const SESSION_ENDED: unknown[] = ["INVALID_CREDENTIALS", "UNAUTHENTICATED", "FORBIDDEN"];
/** The maximum delay of a browser timer: 2^31 − 1 milliseconds. */
const LONGEST_WAIT = 2_147_483_647;

const REFRESH = `mutation RefreshSession($input: RefreshSessionInput!) {
  refreshSession(input: $input) {
    user { username } session { id } accessToken accessTokenExpiresAt refreshToken
  }
}`;

export const session = new Store<Session | null>(restore());
/** A message for the user that says why the session ended. */
export const notice = new Store<string | null>(null);

// Browser tabs that were opened from one another share a session, and a refresh token works once. So a tab sends new
// tokens to the others.
const tabs = new BroadcastChannel(KEY);
let timer: number | undefined;
let refreshing: Promise<boolean> | undefined;

tabs.onmessage = ({ data }: MessageEvent<{ id: string; session: Session | null }>) => {
  if (session.get()?.id === data.id) keep(data.session);
};
schedule();

/** Stores the tokens of a `register`, `login` or `refreshSession` payload. Returns false if it is incomplete. */
export function adopt(payload: unknown): boolean {
  const next = fromPayload(payload);
  if (!next) return false;
  notice.set(null);
  keep(next);
  tabs.postMessage({ id: next.id, session: next });
  return true;
}

/** Deletes the tokens. `why`: the message for the user. */
export function forget(why: string | null = null): void {
  const id = session.get()?.id;
  // Before the session: listeners of the session read the message.
  notice.set(why);
  keep(null);
  if (id) tabs.postMessage({ id, session: null });
}

/** The `Authorization` header with a valid token, refreshed if necessary; undefined if signed out. */
export async function authorization(): Promise<string | undefined> {
  const current = session.get();
  if (current && current.expiresAt - Date.now() < MARGIN / 2) await refresh();
  const token = session.get()?.accessToken;
  return token && `Bearer ${token}`;
}

/** Marks the access token as expired, after the server rejected it. */
export function expire(): void {
  const current = session.get();
  if (current) keep({ ...current, expiresAt: 0 });
}

/** Requests new tokens. Concurrent calls share one request. Returns whether it succeeded. */
export function refresh(): Promise<boolean> {
  refreshing ??= exchange().finally(() => (refreshing = undefined));
  return refreshing;
}

async function exchange(): Promise<boolean> {
  const refreshToken = session.get()?.refreshToken;
  if (!refreshToken) return false;
  const result = await post({ query: REFRESH, variables: { input: { refreshToken } } }).catch(() => null);
  if (adopt(result?.data?.["refreshSession"])) return true;
  // Only these error codes end the session: after other errors, the refresh can be repeated.
  if (result && codes(result).some((code) => SESSION_ENDED.includes(code))) forget("Your session has ended. Please sign in again.");
  return false;
}

function keep(next: Session | null): void {
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
  session.set(next);
  schedule();
}

function schedule(): void {
  clearTimeout(timer);
  const current = session.get();
  if (!current) return;
  const wait = Math.max(current.expiresAt - Date.now() - MARGIN, SHORTEST_WAIT);
  timer = window.setTimeout(() => void refresh().then((done) => done || schedule()), Math.min(wait, LONGEST_WAIT));
}

function fromPayload(payload: unknown): Session | undefined {
  const { user, session, accessToken, accessTokenExpiresAt, refreshToken } = (payload ?? {}) as {
    [key: string]: unknown;
    user?: { username?: string };
    session?: { id?: string };
  };
  const expiresAt = typeof accessTokenExpiresAt === "string" ? Date.parse(accessTokenExpiresAt) : NaN;
  if (typeof accessToken !== "string" || typeof refreshToken !== "string" || Number.isNaN(expiresAt)) return undefined;
  return { id: session?.id ?? "", username: user?.username ?? "you", accessToken, expiresAt, refreshToken };
}

function restore(): Session | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Session | null;
  } catch {
    return null;
  }
}

// Who is signed in.
//
// The tokens lie in sessionStorage: they live as long as the browser's tab and outlast a reload, which memory alone would
// not. Memory would be no safer: a foreign script that reads the one could ask the other for tokens, and the page's policy
// lets no foreign script in. localStorage would leave a refresh token on the disk for days, cookies would need a defence
// against forged requests.

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
/** A token is refreshed so long before it expires, in milliseconds. */
const MARGIN = 30_000;
/** A clock that is wrong must not make a loop. */
const SHORTEST_WAIT = 5_000;
/** What the server says to a refresh token that is worth nothing any more. */
const REFUSALS: unknown[] = ["INVALID_CREDENTIALS", "UNAUTHENTICATED", "FORBIDDEN"];
/** The longest time that a timer of a browser can take: 2^31 − 1 milliseconds. */
const LONGEST_WAIT = 2_147_483_647;

const REFRESH = `mutation RefreshSession($input: RefreshSessionInput!) {
  refreshSession(input: $input) {
    user { username } session { id } accessToken accessTokenExpiresAt refreshToken
  }
}`;

export const session = new Store<Session | null>(restore());
/** Why nobody is signed in any more, for people. */
export const notice = new Store<string | null>(null);

// Tabs that were opened from one another share a session, and a refresh token works once: each tells the others.
const tabs = new BroadcastChannel(KEY);
let timer: number | undefined;
let refreshing: Promise<boolean> | undefined;

tabs.onmessage = ({ data }: MessageEvent<{ id: string; session: Session | null }>) => {
  if (session.get()?.id === data.id) keep(data.session);
};
schedule();

/** Takes over the tokens of a `register`, `login` or `refreshSession`, if the payload has all that is needed. */
export function adopt(payload: unknown): boolean {
  const next = fromPayload(payload);
  if (!next) return false;
  notice.set(null);
  keep(next);
  tabs.postMessage({ id: next.id, session: next });
  return true;
}

/** Forgets the tokens. */
export function forget(why: string | null = null): void {
  const id = session.get()?.id;
  // First the reason: who hears of the change looks for it.
  notice.set(why);
  keep(null);
  if (id) tabs.postMessage({ id, session: null });
}

/** The value of the `Authorization` header, with a token that is good for a while yet; undefined when nobody is signed in. */
export async function authorization(): Promise<string | undefined> {
  const current = session.get();
  if (current && current.expiresAt - Date.now() < MARGIN / 2) await refresh();
  const token = session.get()?.accessToken;
  return token && `Bearer ${token}`;
}

/** Says that the server takes the access token no more, whatever the clock says. */
export function expire(): void {
  const current = session.get();
  if (current) keep({ ...current, expiresAt: 0 });
}

/** Gets new tokens, once however many ask. Answers whether there are some. */
export function refresh(): Promise<boolean> {
  refreshing ??= exchange().finally(() => (refreshing = undefined));
  return refreshing;
}

async function exchange(): Promise<boolean> {
  const refreshToken = session.get()?.refreshToken;
  if (!refreshToken) return false;
  const result = await post({ query: REFRESH, variables: { input: { refreshToken } } }).catch(() => null);
  if (adopt(result?.data?.["refreshSession"])) return true;
  // Only a refusal ends the session: a server that is away or busy may come back.
  if (result && codes(result).some((code) => REFUSALS.includes(code))) forget("Your session has ended. Please sign in again.");
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

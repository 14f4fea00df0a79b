// The session. An access token is valid for minutes. A refresh token works once and returns a new pair of tokens. All
// tabs of a browser share the pair: it is read from localStorage each time, and only one tab refreshes it at a time.

export const SERVER: string = import.meta.env.VITE_DUOLOGUE_URL ?? "http://127.0.0.1:8000/graphql";

interface Tokens {
  accessToken: string;
  accessTokenExpiresAt: string;
  refreshToken: string;
}

/** An error of a response. The type `ErrorExtensions` of the schema describes `extensions`. */
export interface Problem {
  message: string;
  extensions?: { code: string; fields?: { path: string[]; message: string }[]; retryAfterSeconds?: number };
}

const KEY = "duologue-tokens";
const SESSION_ENDED: unknown[] = ["INVALID_CREDENTIALS", "UNAUTHENTICATED"];
const TOKENS = "accessToken accessTokenExpiresAt refreshToken";
const DOCUMENTS = {
  login: `mutation ($input: LoginInput!) { payload: login(input: $input) { ${TOKENS} } }`,
  register: `mutation ($input: RegisterInput!) { payload: register(input: $input) { ${TOKENS} } }`,
  refresh: `mutation ($input: RefreshSessionInput!) { payload: refreshSession(input: $input) { ${TOKENS} } }`,
  logout: "mutation { payload: logout { sessionId } }",
};

const load = () => JSON.parse(localStorage.getItem(KEY) ?? "null") as Tokens | null;
const expiresSoon = ({ accessTokenExpiresAt }: Tokens) => Date.parse(accessTokenExpiresAt) < Date.now() + 5_000;

function save(tokens: Tokens | null): void {
  if (tokens) localStorage.setItem(KEY, JSON.stringify(tokens));
  else localStorage.removeItem(KEY);
  // Browsers send this event to other tabs only, so it is dispatched for this tab.
  window.dispatchEvent(new StorageEvent("storage"));
}

/** For `useSyncExternalStore`. */
export const onEvent = (name: "storage" | "hashchange") => (listener: () => void) => {
  window.addEventListener(name, listener);
  return () => window.removeEventListener(name, listener);
};

export const isSignedIn = (): boolean => load() !== null;

async function post(query: string, variables: object, token?: string) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(SERVER, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return response.json() as Promise<{ data?: { payload: unknown }; errors?: Problem[] }>;
}

/** Signs in or registers. Returns the errors; an empty list means success. */
export async function enter(how: "login" | "register", input: object): Promise<Problem[]> {
  try {
    const { data, errors = [] } = await post(DOCUMENTS[how], { input });
    if (data?.payload) save(data.payload as Tokens);
    return errors;
  } catch {
    return [{ message: `The server at ${SERVER} cannot be reached.` }];
  }
}

export async function signOut(): Promise<void> {
  // The tokens are deleted even if the server cannot be reached.
  const token = await accessToken().catch(() => undefined);
  save(null);
  await post(DOCUMENTS.logout, {}, token).catch(() => undefined);
}

/** Returns a valid access token, refreshed if necessary; undefined if signed out. Call it before each request. */
export async function accessToken(): Promise<string | undefined> {
  const now = load();
  if (now && expiresSoon(now)) {
    await navigator.locks.request(KEY, async () => {
      const tokens = load();
      if (!tokens || !expiresSoon(tokens)) return;
      const { data, errors } = await post(DOCUMENTS.refresh, { input: { refreshToken: tokens.refreshToken } });
      if (data?.payload) save(data.payload as Tokens);
      // Only these error codes end the session: after other errors, the refresh can be repeated.
      else if (errors?.some(({ extensions }) => SESSION_ENDED.includes(extensions?.code))) save(null);
    });
  }
  return load()?.accessToken;
}

/** Marks the access token as expired, after the server rejected it: the clock of this machine may be wrong. */
export function expire(): void {
  const tokens = load();
  if (tokens) save({ ...tokens, accessTokenExpiresAt: new Date(0).toISOString() });
}

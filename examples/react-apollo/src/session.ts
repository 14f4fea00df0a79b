// Who is signed in. The access token lives for minutes; the refresh token works once and brings the next pair. The tabs
// of a browser share the pair, so it is read from localStorage each time, and one tab refreshes it at a time.

export const SERVER: string = import.meta.env.VITE_DUOLOGUE_URL ?? "http://127.0.0.1:8000/graphql";

interface Tokens {
  accessToken: string;
  accessTokenExpiresAt: string;
  refreshToken: string;
}

/** An error of an answer; `extensions` are described by `ErrorExtensions` in the schema. */
export interface Problem {
  message: string;
  extensions?: { code: string; fields?: { path: string[]; message: string }[]; retryAfterSeconds?: number };
}

const KEY = "duologue-tokens";
const REFUSALS: unknown[] = ["INVALID_CREDENTIALS", "UNAUTHENTICATED"];
const TOKENS = "accessToken accessTokenExpiresAt refreshToken";
const DOCUMENTS = {
  login: `mutation ($input: LoginInput!) { payload: login(input: $input) { ${TOKENS} } }`,
  register: `mutation ($input: RegisterInput!) { payload: register(input: $input) { ${TOKENS} } }`,
  refresh: `mutation ($input: RefreshSessionInput!) { payload: refreshSession(input: $input) { ${TOKENS} } }`,
  logout: "mutation { payload: logout { sessionId } }",
};

const load = () => JSON.parse(localStorage.getItem(KEY) ?? "null") as Tokens | null;
const isOld = ({ accessTokenExpiresAt }: Tokens) => Date.parse(accessTokenExpiresAt) < Date.now() + 5_000;

function save(tokens: Tokens | null): void {
  if (tokens) localStorage.setItem(KEY, JSON.stringify(tokens));
  else localStorage.removeItem(KEY);
  // Browsers tell the other tabs by this event; this one is told here.
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

/** Signs in or up; answers what is wrong, nothing when it worked. */
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
  // Without the server the tokens are forgotten here all the same.
  const token = await accessToken().catch(() => undefined);
  save(null);
  await post(DOCUMENTS.logout, {}, token).catch(() => undefined);
}

/** An access token that is good for now; undefined without a sign-in. Ask for it each time, and keep it nowhere. */
export async function accessToken(): Promise<string | undefined> {
  const now = load();
  if (now && isOld(now)) {
    await navigator.locks.request(KEY, async () => {
      const tokens = load();
      if (!tokens || !isOld(tokens)) return;
      const { data, errors } = await post(DOCUMENTS.refresh, { input: { refreshToken: tokens.refreshToken } });
      if (data?.payload) save(data.payload as Tokens);
      // Only a refusal ends the session: a busy server may answer later.
      else if (errors?.some(({ extensions }) => REFUSALS.includes(extensions?.code))) save(null);
    });
  }
  return load()?.accessToken;
}

/** The server refused the access token: the clock here may be wrong. */
export function expire(): void {
  const tokens = load();
  if (tokens) save({ ...tokens, accessTokenExpiresAt: new Date(0).toISOString() });
}

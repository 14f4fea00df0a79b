// Staying signed in. The access token lives for minutes; the refresh token works once and brings the next pair.

const REFRESH = `mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken accessTokenExpiresAt refreshToken }
}`;

export class Session {
  #url;
  #tokens;
  #refreshing;

  /** `tokens`: what `register` or `login` answered. */
  constructor(url, tokens) {
    this.#url = url;
    this.#tokens = tokens;
  }

  /** An access token that is good for now. Ask for it before every request, and keep it nowhere. */
  async accessToken() {
    const isOld = Date.parse(this.#tokens.accessTokenExpiresAt) < Date.now() + 1000;
    if (isOld) await this.refresh();
    return this.#tokens.accessToken;
  }

  /** The server says that the token is dead: the clock here may be wrong. */
  expire() {
    this.#tokens = { ...this.#tokens, accessTokenExpiresAt: new Date(0).toISOString() };
  }

  /** Gets the next pair; once, however many ask at the same time. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh() {
    const { refreshToken } = this.#tokens;
    const response = await fetch(this.#url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query: REFRESH, variables: { input: { refreshToken } } }),
    });
    const { data, errors } = await response.json();
    if (!data?.refreshSession) throw new Error(errors?.[0]?.message ?? "The session has ended: sign in again.");
    this.#tokens = data.refreshSession;
  }
}

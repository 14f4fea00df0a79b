// Keeps a user signed in. An access token is valid for minutes. A refresh token works once and returns a new pair.

const REFRESH = `mutation Refresh($input: RefreshSessionInput!) {
  refreshSession(input: $input) { accessToken accessTokenExpiresAt refreshToken }
}`;

export class Session {
  #url;
  #tokens;
  #refreshing;
  #onTokens;

  /**
   * `tokens`: the payload of `register` or `login`, or stored tokens. `onTokens` is called with each new pair; a page
   * that stores the tokens survives a reload with it.
   */
  constructor(url, tokens, onTokens = () => {}) {
    this.#url = url;
    this.#tokens = tokens;
    this.#onTokens = onTokens;
  }

  /** Returns a valid access token, refreshed if necessary. Call it before each request, and do not store the result. */
  async accessToken() {
    const expiresSoon = Date.parse(this.#tokens.accessTokenExpiresAt) < Date.now() + 1000;
    if (expiresSoon) await this.refresh();
    return this.#tokens.accessToken;
  }

  /**
   * Marks the access token as expired, so that the next call of `accessToken` refreshes it. For a token that the server
   * rejected although it seemed valid: the clock of this machine may be wrong.
   */
  expire() {
    this.#tokens = { ...this.#tokens, accessTokenExpiresAt: new Date(0).toISOString() };
  }

  /** Requests a new pair. Concurrent calls share one request. */
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
    this.#onTokens(this.#tokens);
  }
}

// Runs all audits of GraphQL over HTTP (npm graphql-http), including those that are only recommendations.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";

import { Server } from "./server.mjs";

/** Sends invalid credentials, which must not affect requests that need none. */
const withAuthorization = (input, init = {}) =>
  fetch(input, { ...init, headers: { ...init.headers, authorization: "Bearer invalid" } });

for (const [name, fetchFn] of [["anonymous", fetch], ["with an Authorization header", withAuthorization]]) {
  test(`audits, ${name}`, async (t) => {
    const { url } = await Server.start(t);
    const audits = serverAudits({ url, fetchFn });
    assert.equal(audits.length, 61);
    for (const audit of audits) {
      await t.test(`${audit.id} ${audit.name}`, async () => {
        const result = await audit.fn();
        assert.equal(result.status, "ok", result.reason);
      });
    }
  });
}

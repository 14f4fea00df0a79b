// Fuzz test: schemathesis generates operations from the schema, and executes them as an anonymous client, a user and an
// admin. No response may be an internal error, and every request must end in time. The operations are deterministic.
// With FUZZ_EXAMPLES=500, they are random and the test takes minutes.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { ask, register, send } from "./account.mjs";
import { python } from "./python.mjs";
import { Server } from "./server.mjs";

const run = promisify(execFile);
/** The number of examples for each root field. With the default, each token executes more than 500 operations. */
const examples = process.env.FUZZ_EXAMPLES ?? "15";
const isDeep = process.env.FUZZ_EXAMPLES !== undefined;
const timeout = isDeep ? 3_600_000 : 180_000;
/** Mutations that can end the session of the test itself, because schemathesis reuses known ids. */
const endings = "Mutation\\.(logout|logoutEverywhere|revokeSession|endUserSessions)";
const password = "velvet otter counts 41 lanterns";
const root = { DEFAULT_ADMIN_USERNAME: "root", DEFAULT_ADMIN_EMAIL: "root@example.com", DEFAULT_ADMIN_PASSWORD: password };

/** The ids of objects that a user can see, except the ids of the user's sessions. */
async function idsOf(url, accessToken) {
  const { chatId, messageId } = await send(url, accessToken, "demo/fast");
  const token = `mutation { createPersonalAccessToken(input: { name: "ci", scopes: [READ] }) { personalAccessToken { id } } }`;
  const { createPersonalAccessToken } = await ask(url, token, {}, accessToken);
  const { characters, models } = await ask(url, "{ characters { nodes { id } } models { id } }", {}, accessToken);
  const others = [createPersonalAccessToken.personalAccessToken, ...characters.nodes, ...models];
  return [chatId, messageId, ...others.map(({ id }) => id)];
}

test("generated operations cause no internal errors", { timeout: 2 * timeout }, async (t) => {
  const programs = await python(t, "schemathesis==4.*");
  if (!programs) return;
  // Otherwise, the many wrong passwords lock the accounts and delay the test.
  const { url } = await Server.start(t, { ...root, LOGIN_LOCKOUT_ATTEMPTS: "0" });
  const folder = await mkdtemp(join(tmpdir(), "duologue-fuzz-"));
  t.after(() => rm(folder, { recursive: true, force: true }));

  const login = `mutation ($input: LoginInput!) { login(input: $input) { accessToken } }`;
  const admin = (await ask(url, login, { input: { login: "root", password } })).login.accessToken;
  const user = (await register(url)).accessToken;
  const otherUser = (await register(url)).accessToken;
  const { id } = (await ask(url, "{ me { id } }", {}, otherUser)).me;
  const { roles, auditLog } = (
    await ask(url, "{ admin { roles { id } auditLog(first: 2) { nodes { id } } } }", {}, admin)
  ).admin;
  const shared = [id, ...roles.map((role) => role.id), ...auditLog.nodes.map((entry) => entry.id)];

  for (const [name, accessToken] of [["anonymous", null], ["user", user], ["admin", admin]]) {
    await t.test(name, { timeout }, async () => {
      const ids = accessToken ? [...shared, ...(await idsOf(url, accessToken))] : shared;
      const options = ["--phases", "fuzzing", "--checks", "no_internal_error", "--max-examples", examples, "--no-color"];
      options.push("--request-timeout", "10");
      options.push(...(isDeep ? ["--generation-database", "none"] : ["--generation-deterministic"]));
      if (accessToken) options.push("--header", `Authorization: Bearer ${accessToken}`, "--exclude-name-regex", endings);
      const env = {
        PATH: process.env.PATH,
        PYTHONPATH: fileURLToPath(new URL("fuzz", import.meta.url)),
        PYTHONDONTWRITEBYTECODE: "1",
        SCHEMATHESIS_HOOKS: "hooks",
        DUOLOGUE_IDS: ids.join(" "),
      };
      const finished = run(join(programs, "schemathesis"), ["run", url, ...options], { cwd: folder, env, timeout });
      const { stdout } = await finished.catch((cause) => assert.fail(cause.stdout || cause));
      const [, passed] = /generated, (\d+) passed/.exec(stdout) ?? assert.fail(stdout);
      assert.ok(Number(passed) >= 500, stdout);
      if (accessToken) assert.ok((await ask(url, "{ me { id } }", {}, accessToken)).me.id, "still signed in at the end");
    });
  }
});

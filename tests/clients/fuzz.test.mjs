// Operations made up from the schema by schemathesis, for nobody, a user and an admin: no answer is a fault of the server's,
// and none takes for ever. They are always the same ones; with FUZZ_EXAMPLES=500 others each time, for some minutes.

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
/** Of each root field: more than 500 for each token. */
const examples = process.env.FUZZ_EXAMPLES ?? "15";
const isDeep = process.env.FUZZ_EXAMPLES !== undefined;
const timeout = isDeep ? 3_600_000 : 180_000;
/** What ends the session itself: schemathesis tries the ids that it has seen. */
const endings = "Mutation\\.(logout|logoutEverywhere|revokeSession|endUserSessions)";
const password = "velvet otter counts 41 lanterns";
const root = { DEFAULT_ADMIN_USERNAME: "root", DEFAULT_ADMIN_EMAIL: "root@example.com", DEFAULT_ADMIN_PASSWORD: password };

/** Ids of everything that somebody has, but of what would sign them out. */
async function belongings(url, accessToken) {
  const { chatId, messageId } = await send(url, accessToken, "demo/fast");
  const token = `mutation { createPersonalAccessToken(input: { name: "ci", scopes: [READ] }) { personalAccessToken { id } } }`;
  const { createPersonalAccessToken } = await ask(url, token, {}, accessToken);
  const { characters, models } = await ask(url, "{ characters { nodes { id } } models { id } }", {}, accessToken);
  const others = [createPersonalAccessToken.personalAccessToken, ...characters.nodes, ...models];
  return [chatId, messageId, ...others.map(({ id }) => id)];
}

test("schemathesis finds no fault", { timeout: 2 * timeout }, async (t) => {
  const programs = await python(t, "schemathesis==4.*");
  if (!programs) return;
  // Wrong passwords without end would only be locked out, and wait.
  const { url } = await Server.start(t, { ...root, LOGIN_LOCKOUT_ATTEMPTS: "0" });
  const folder = await mkdtemp(join(tmpdir(), "duologue-fuzz-"));
  t.after(() => rm(folder, { recursive: true, force: true }));

  const login = `mutation ($input: LoginInput!) { login(input: $input) { accessToken } }`;
  const admin = (await ask(url, login, { input: { login: "root", password } })).login.accessToken;
  const user = (await register(url)).accessToken;
  const somebody = (await register(url)).accessToken;
  const { id } = (await ask(url, "{ me { id } }", {}, somebody)).me;
  const { roles, auditLog } = (
    await ask(url, "{ admin { roles { id } auditLog(first: 2) { nodes { id } } } }", {}, admin)
  ).admin;
  const shared = [id, ...roles.map((role) => role.id), ...auditLog.nodes.map((entry) => entry.id)];

  for (const [name, accessToken] of [["nobody", null], ["a user", user], ["an admin", admin]]) {
    await t.test(name, { timeout }, async () => {
      const ids = accessToken ? [...shared, ...(await belongings(url, accessToken))] : shared;
      const options = ["--phases", "fuzzing", "--checks", "no_fault", "--max-examples", examples, "--no-color"];
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
      if (accessToken) assert.ok((await ask(url, "{ me { id } }", {}, accessToken)).me.id, "signed in to the end");
    });
  }
});

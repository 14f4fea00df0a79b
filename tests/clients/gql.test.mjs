// PyPI gql, as docs/clients.md sets it up. Where there is no Python the test says so and is skipped; with CI=true it fails.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { register, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { Server, within } from "./server.mjs";

const run = promisify(execFile);
const script = fileURLToPath(new URL("set-up/gql_client.py", import.meta.url));
const timeout = 180_000;

/** A Python with gql, in a folder of its own; null where it cannot be made. */
async function python(t) {
  const folder = await mkdtemp(join(tmpdir(), "duologue-gql-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  try {
    await run("python3", ["-m", "venv", folder], { timeout });
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "gql[aiohttp,websockets]==4.*"];
    await run(join(folder, "bin/python"), pip, { timeout });
    return join(folder, "bin/python");
  } catch (cause) {
    if (process.env.CI) throw cause;
    t.skip(`no Python with gql here: ${cause.message.split("\n")[0]}`);
    return null;
  }
}

test("gql for Python: a reply through lost connections", { timeout: 2 * timeout }, async (t) => {
  const interpreter = await python(t);
  if (!interpreter) return;
  const server = await Server.start(t);
  const { accessToken } = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const child = spawn(interpreter, [script, proxy.url, accessToken], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const events = [];
  const cuts = [60, 150];
  const text = () => events.map((event) => event.text ?? "").join("");
  await within("the reply", (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      events.push(JSON.parse(line));
      if (text().length >= cuts[0]) {
        cuts.shift();
        proxy.cut();
      }
    }
  })(), 60_000);
  assert.equal(cuts.length, 0, "both cuts came before the end");
  const { message } = events.at(-1);
  assert.equal(message.status, "COMPLETE");
  assert.equal(text(), (await stored(server.url, accessToken, message.id)).content);
  for (const [index, event] of events.entries()) {
    assert.equal(event.start, index === 0 ? 0 : events[index - 1].position, "each once, none missing");
  }
});

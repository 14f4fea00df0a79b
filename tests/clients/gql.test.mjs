// Tests the set-up of docs/clients.md for PyPI gql. Without Python, the test is skipped; in CI, it fails.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { register, stored } from "./account.mjs";
import { Proxy } from "./proxy.mjs";
import { python } from "./python.mjs";
import { Server, within } from "./server.mjs";

const script = fileURLToPath(new URL("set-up/gql_client.py", import.meta.url));
const timeout = 180_000;

test("gql for Python: reads a reply through lost connections", { timeout: 2 * timeout }, async (t) => {
  const programs = await python(t, "gql[aiohttp,websockets]==4.*");
  if (!programs) return;
  const server = await Server.start(t);
  const { accessToken } = await register(server.url);
  const proxy = await Proxy.start(t, server.port);
  const child = spawn(join(programs, "python"), [script, proxy.url, accessToken], { stdio: ["ignore", "pipe", "inherit"] });
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
  assert.equal(cuts.length, 0, "both connections were cut before the end");
  const { message } = events.at(-1);
  assert.equal(message.status, "COMPLETE");
  assert.equal(text(), (await stored(server.url, accessToken, message.id)).content);
  for (const [index, event] of events.entries()) {
    assert.equal(event.start, index === 0 ? 0 : events[index - 1].position, "no event is missing or duplicated");
  }
});

// Tests the documentation: docs/clients.md contains the tested set-ups, and the walk-through of README.md works.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildSchema, parse, validate } from "graphql";

import { register, send, stored } from "./account.mjs";
import { Server, within } from "./server.mjs";
import * as branches from "./set-up/branches.mjs";
import * as replies from "./set-up/reply.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = (path) => readFile(`${root}${path}`, "utf8");

test("docs/clients.md contains every tested set-up file", async () => {
  const page = await text("docs/clients.md");
  const blocks = page.matchAll(/\[[^\]]+\]\(\.\.\/tests\/clients\/(set-up\/[^)]+)\)[^\n]*\n\n```\w*\n([^]*?)\n```/g);
  const shown = new Map([...blocks].map(([, path, code]) => [path, `${code}\n`]));
  for (const [path, code] of shown) assert.equal(code, await text(`tests/clients/${path}`), path);
  const files = await readdir(`${root}tests/clients/set-up`, { recursive: true, withFileTypes: true });
  const paths = files.filter((file) => file.isFile() && !file.name.endsWith(".pyc"));
  assert.equal(shown.size, paths.length, `${[...shown.keys()]}`);
});

test("the documents and possible types of docs/clients.md match the schema", async () => {
  const schema = buildSchema(await text("schema.graphql"));
  const ofBranches = Object.values(branches).filter((value) => typeof value === "string");
  for (const document of [replies.SEND_MESSAGE, replies.CHAT, replies.REPLY, ...ofBranches]) {
    assert.deepEqual(validate(schema, parse(document)), []);
  }
  for (const [name, types] of Object.entries(replies.POSSIBLE_TYPES)) {
    const possible = schema.getPossibleTypes(schema.getType(name)).map((type) => type.name);
    assert.deepEqual([...types].sort(), possible.sort(), name);
  }
});

test("the walk-through of README.md works as written", { timeout: 120_000 }, async (t) => {
  const server = await Server.start(t);
  const [, walk] = (await text("README.md")).split(/^### The main job, by hand$/m);
  const [section] = walk.split(/^##/m);
  const script = [...section.matchAll(/```sh\n([^]*?)```/g)].map(([, block]) => block).join("\n");
  assert.match(script, /register[^]*characters[^]*sendMessage[^]*reply\.mjs/);
  const here = script.replaceAll("http://127.0.0.1:8000/graphql", server.url);
  const env = { ...process.env, DUOLOGUE_URL: server.url.replace("http", "ws") };
  const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", here], { cwd: root, env });
  assert.match(stdout, /This is the \*\*demo model\*\*/);
  assert.match(stdout, /\[COMPLETE, \d+ tokens\]\n$/);
});

/** Runs examples/reply.mjs and returns its output and exit code. `each` is called with the output so far. */
async function readReply(url, token, id, each = () => {}) {
  const env = { ...process.env, TOKEN: token, DUOLOGUE_URL: url.replace("http", "ws") };
  const child = spawn(process.execPath, ["examples/reply.mjs", id].filter(Boolean), { cwd: root, env });
  const printed = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8").on("data", (text) => {
      printed[name] += text;
      each(printed.stdout);
    });
  }
  const [code] = await within("examples/reply.mjs", once(child, "close"), 90_000);
  return { ...printed, code };
}

test("examples/reply.mjs continues after a restart, and prints errors", { timeout: 240_000 }, async (t) => {
  // The walk-through above installs the packages of the example.
  const server = await Server.start(t);
  const { accessToken } = await register(server.url);
  const start = async (model) => (await send(server.url, accessToken, model)).messageId;

  await t.test("a restart", async () => {
    const id = await start("demo/long");
    let restarted;
    const { stdout, stderr, code } = await readReply(server.url, accessToken, id, (text) => {
      if (text.length > 2_000) restarted ??= server.stop().then(() => server.start());
    });
    await restarted;
    const { content } = await stored(server.url, accessToken, id);
    assert.match(stdout, /\n\[COMPLETE, \d+ tokens\]\n$/);
    assert.equal(stdout.slice(0, stdout.lastIndexOf("\n[")), content, "no text is missing or duplicated");
    assert.match(stderr, /the connection was lost/);
    assert.equal(code, 0);
  });

  await t.test("a crash", async () => {
    const id = await start("demo/slow");
    let restarted;
    const { stdout, stderr, code } = await readReply(server.url, accessToken, id, (text) => {
      if (text.length > 20) restarted ??= server.stop("SIGKILL").then(() => server.start());
    });
    await restarted;
    assert.match(stdout, /\n\[INTERRUPTED, \d+ tokens\]\n$/);
    assert.match(stderr, /\nINTERRUPTED: .+\n$/);
    assert.equal(code, 1);
  });

  await t.test("errors", async () => {
    const failed = await readReply(server.url, accessToken, await start("demo/fails"));
    assert.match(failed.stdout, /\n\[FAILED, 0 tokens\]\n$/);
    assert.deepEqual([failed.stderr.split(":")[0], failed.code], ["PROVIDER_UNAVAILABLE", 1]);
    for (const [token, id, why] of [
      [accessToken, "msg_00000000000000000000000000", /^\S.+\.\n$/],
      ["invalid", "msg_00000000000000000000000000", /sign in again|UNAUTHENTICATED/],
      [accessToken, "", /^Usage: /],
    ]) {
      const { stdout, stderr, code } = await readReply(server.url, token, id);
      assert.match(stderr, why);
      assert.deepEqual([stdout, code], ["", 1], stderr);
    }
  });
});

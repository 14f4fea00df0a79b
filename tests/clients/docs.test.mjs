// What the documentation shows is what is tested: the set-ups of docs/clients.md, and the walk-through of README.md.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildSchema, parse, validate } from "graphql";

import { Server } from "./server.mjs";
import * as replies from "./set-up/reply.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = (path) => readFile(`${root}${path}`, "utf8");

test("docs/clients.md shows every set-up as it is tested", async () => {
  const page = await text("docs/clients.md");
  const blocks = page.matchAll(/\[[^\]]+\]\(\.\.\/tests\/clients\/(set-up\/[^)]+)\)[^\n]*\n\n```\w*\n([^]*?)\n```/g);
  const shown = new Map([...blocks].map(([, path, code]) => [path, `${code}\n`]));
  for (const [path, code] of shown) assert.equal(code, await text(`tests/clients/${path}`), path);
  const files = await readdir(`${root}tests/clients/set-up`, { recursive: true, withFileTypes: true });
  const paths = files.filter((file) => file.isFile() && !file.name.endsWith(".pyc"));
  assert.equal(shown.size, paths.length, `${[...shown.keys()]}`);
});

test("the documents of docs/clients.md are valid, and its possible types those of the schema", async () => {
  const schema = buildSchema(await text("schema.graphql"));
  for (const document of [replies.SEND_MESSAGE, replies.CHAT, replies.REPLY]) {
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

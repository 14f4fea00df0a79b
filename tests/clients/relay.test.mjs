// Compiles set-up/relay with the Relay compiler: node(id:), connections, @refetchable, @appendNode, @deleteRecord and a
// subscription.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));

test("relay-compiler accepts the schema and the documents", { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "duologue-relay-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(`${folder}/src`);
  await cp(`${here}../../schema.graphql`, `${folder}/schema.graphql`);
  await cp(`${here}set-up/relay/relay.config.json`, `${folder}/relay.config.json`);
  await cp(`${here}set-up/relay/Page.js`, `${folder}/src/Page.js`);
  const compile = () => run(`${here}node_modules/.bin/relay-compiler`, ["relay.config.json"], { cwd: folder });
  await compile().catch(({ stdout, stderr }) => assert.fail(stdout + stderr));
  const generated = await readdir(`${folder}/src/__generated__`);
  for (const name of ["PageQuery", "PageOlderQuery", "Page_chat", "PageSendMutation", "PageReplySubscription"]) {
    assert.ok(generated.includes(`${name}.graphql.js`), `${name} in ${generated}`);
  }
  const page = await readFile(`${folder}/src/Page.js`, "utf8");
  await writeFile(`${folder}/src/Page.js`, page.replace("title\n", "heading\n"));
  await assert.rejects(compile(), "an unknown field is an error");
});

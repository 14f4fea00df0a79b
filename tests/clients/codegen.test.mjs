// Compiles set-up/typed.ts with the types that graphql-codegen's client preset generates.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));

test("graphql-codegen generates types that compile", { timeout: 120_000 }, async (t) => {
  // In this folder, so that Node finds the packages.
  const folder = await mkdtemp(`${here}generated-`);
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(`${folder}/src`);
  await cp(`${here}set-up/codegen.mjs`, `${folder}/codegen.mjs`);
  await cp(`${here}../../schema.graphql`, `${folder}/schema.graphql`);
  await cp(`${here}set-up/typed.ts`, `${folder}/src/typed.ts`);
  await run(`${here}node_modules/.bin/graphql-codegen`, ["--config", "codegen.mjs"], { cwd: folder });
  assert.match(await readFile(`${folder}/src/gql/graphql.ts`, "utf8"), /export type ReplySubscription /);

  const options = ["--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022", "--lib", "es2022,dom"];
  const compile = () => run(`${here}node_modules/.bin/tsc`, [...options, "src/typed.ts"], { cwd: folder });
  await compile().catch(({ stdout }) => assert.fail(stdout));
  const typed = await readFile(`${folder}/src/typed.ts`, "utf8");
  await writeFile(`${folder}/src/typed.ts`, typed.replace("{ content, newChat", "{ content: 1, newChat"));
  await assert.rejects(compile(), ({ stdout }) => stdout.includes("typed.ts"), "a wrong type is an error");
});

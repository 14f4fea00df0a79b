// Lints schema.graphql with @graphql-eslint: the recommended rules for schemas and the Relay rules, as configured in
// set-up/eslint.config.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";

test("schema.graphql passes the linter", async () => {
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  process.chdir(cwd);
  const overrideConfigFile = fileURLToPath(new URL("set-up/eslint.config.mjs", import.meta.url));
  const eslint = new ESLint({ cwd, overrideConfigFile });
  const [result] = await eslint.lintFiles(["schema.graphql"]);
  const found = result.messages.map(({ line, ruleId, message }) => `${line}: ${message} (${ruleId})`);
  assert.deepEqual(found, []);
  const [broken] = await eslint.lintText("type Query { Chats: [Int] }", { filePath: "schema.graphql" });
  assert.ok(broken.errorCount > 0, "the rules are enabled");
});

// Tests that the operations of the prepared tabs are valid.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { buildSchema, parse, validate } from "graphql";

const schema = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));
const folder = new URL("../../web/src/examples/", import.meta.url);

test("the prepared tabs contain no fixed password", () => {
  const examples = readFileSync(new URL("../../web/src/examples.ts", import.meta.url), "utf8");
  assert.doesNotMatch(examples, /password\b["']?\s*[:=]\s*["'`]/i);
});

for (const name of readdirSync(folder)) {
  test(name, () => {
    const errors = validate(schema, parse(readFileSync(new URL(name, folder), "utf8")));
    assert.deepEqual(errors.map((error) => error.message), []);
  });
}

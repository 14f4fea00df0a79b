// Creates a Python virtual environment, for clients and tools that are not npm packages.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const timeout = 180_000;

/**
 * Returns the folder of its programs, which is deleted after the test. If the environment cannot be created, the test
 * is skipped and the result is null; in CI, the test fails.
 */
export async function python(t, ...packages) {
  const folder = await mkdtemp(join(tmpdir(), "duologue-python-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  try {
    await run("python3", ["-m", "venv", folder], { timeout });
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages];
    await run(join(folder, "bin/python"), pip, { timeout });
    return join(folder, "bin");
  } catch (cause) {
    if (process.env.CI) throw cause;
    t.skip(`no Python with ${packages.join(", ")}: ${cause.message.split("\n")[0]}`);
    return null;
  }
}

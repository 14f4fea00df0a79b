// A Python with packages of its own, for clients and tools that are no npm packages.

import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const timeout = 180_000;

/** The folder of its programs, gone after the test; null, and the test is skipped, where it cannot be made. With CI=true it fails. */
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
    t.skip(`no Python with ${packages.join(", ")} here: ${cause.message.split("\n")[0]}`);
    return null;
  }
}

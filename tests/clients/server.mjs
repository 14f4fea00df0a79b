// Starts the real binary for a test, on its own port and with its own database.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const binary = process.env.DUOLOGUE_BIN ?? join(target, "debug/duologue");

/** The secret of every test server, so that a test can sign a token that expires soon. */
export const JWT_SECRET = "only for tests: all of the world may know this secret";

/** The maximum duration of a start or a stop, in milliseconds. A debug build on a busy machine needs a second. */
const LIMIT = 30_000;

export class Server {
  #folder;
  #settings;
  #child;
  #port = 0;

  /** Starts a server that stops at the end of the test `t`. `settings` are added to those of every test server. */
  static async start(t, settings = {}) {
    if (!existsSync(binary)) throw new Error(`${binary} does not exist: run cargo build`);
    const server = new Server();
    server.#settings = settings;
    server.#folder = await mkdtemp(join(tmpdir(), "duologue-clients-"));
    t.after(async () => {
      await server.stop("SIGKILL");
      await rm(server.#folder, { recursive: true, force: true });
    });
    await server.start();
    return server;
  }

  get port() {
    return this.#port;
  }

  get url() {
    return `http://127.0.0.1:${this.#port}/graphql`;
  }

  /** Starts the server again, with the same data and port. */
  async start() {
    // Only PATH is inherited: the key of a provider in the environment would enable real models.
    const env = {
      PATH: process.env.PATH,
      PORT: String(this.#port),
      DATA_DIR: join(this.#folder, "data"),
      LOG_FORMAT: "json",
      SHUTDOWN_GRACE_SECONDS: "10",
      // Tests send requests more often than users do.
      RATE_LIMIT_PER_MINUTE: "0",
      CHAT_RATE_LIMIT_PER_MINUTE: "0",
      JWT_SECRET,
      ...this.#settings,
    };
    this.#child = spawn(binary, { cwd: this.#folder, env, stdio: ["ignore", "ignore", "pipe"] });
    const output = [];
    this.#port = await within(`the start of ${binary}`, new Promise((resolve, reject) => {
      const lines = createInterface({ input: this.#child.stderr });
      lines.on("line", (line) => {
        output.push(line);
        const address = line.startsWith("{") && JSON.parse(line).fields.address;
        if (address) resolve(Number(address.split(":").at(-1)));
      });
      lines.on("close", () => reject(new Error(`the server did not start:\n${output.join("\n")}`)));
    }));
  }

  /** Stops the server: with SIGTERM like an operator, or with SIGKILL to simulate a crash. */
  async stop(signal = "SIGTERM") {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    await within(`the stop by ${signal}`, exit);
  }
}

/** Waits for a promise. Rejects after `limit` milliseconds with an error that names `what`. */
export function within(what, promise, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes longer than ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

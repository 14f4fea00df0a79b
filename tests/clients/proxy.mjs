// A TCP proxy in front of the server. A test can cut its connections without a close frame, like a lost network.

import { once } from "node:events";
import net from "node:net";

export class Proxy {
  #sockets = new Set();
  #server;
  /** The number of accepted connections. */
  count = 0;

  static async start(t, port) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((near) => {
      proxy.count += 1;
      const far = net.connect(port, "127.0.0.1");
      for (const [from, to] of [[near, far], [far, near]]) {
        proxy.#sockets.add(from);
        from.on("error", () => {});
        from.on("close", () => {
          proxy.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
    });
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    t.after(() => {
      proxy.cut();
      proxy.#server.close();
    });
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/graphql`;
  }

  /** Closes every connection. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }
}

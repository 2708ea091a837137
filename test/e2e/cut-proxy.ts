import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A TCP proxy whose line can go dead: nothing passes and nothing is closed, as when a cable is pulled. */
export interface CutProxy {
  readonly url: string;
  freeze(): void;
  /** Passes again for new connections; what was frozen is cut for good. */
  thaw(): void;
  close(): Promise<void>;
}

export async function cutProxy(targetPort: number): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;
  const server = createServer((near) => {
    sockets.add(near);
    near.on("error", () => near.destroy());
    if (frozen) return;
    const far = connect(targetPort, "127.0.0.1");
    sockets.add(far);
    far.on("error", () => near.destroy());
    near.on("data", (data) => frozen || far.write(data));
    far.on("data", (data) => frozen || near.write(data));
    near.on("close", () => far.destroy());
    far.on("close", () => frozen || near.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const drop = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    url: `mqtt://127.0.0.1:${port}`,
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      drop();
    },
    async close() {
      drop();
      server.close();
      await once(server, "close");
    },
  };
}

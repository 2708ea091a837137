import type { Server as HttpServer, IncomingMessage } from "node:http";
import { Server, type Socket } from "socket.io";
import type { LiveEvent, LiveEvents } from "../../protocol/api.ts";
import type { Log } from "../log.ts";
import type { View } from "../view.ts";

export interface LiveOptions {
  readonly server: HttpServer;
  readonly view: View;
  readonly log: Log;
  /** What may wait for one watcher that reads too slowly, bytes of JSON. */
  readonly maxWaitingBytes: number;
  readonly maxWatchers: number;
}

type Nothing = Record<string, never>;
type Watcher = Socket<Nothing, LiveEvents, Nothing, { waitingBytes: number }>;

/**
 * The live feed over socket.io: every change from the moment of connection, nothing from before it. A watcher that does not keep up is
 * disconnected; it connects again and reads the state over HTTP.
 */
export function openLive({ server, view, log, maxWaitingBytes, maxWatchers }: LiveOptions): {
  close(): Promise<void>;
} {
  const io = new Server<Nothing, LiveEvents, Nothing, { waitingBytes: number }>(server, {
    serveClient: false,
    // Watchers have nothing to say.
    maxHttpBufferSize: 4 * 1024,
    allowRequest: (request, done) => done(null, fromOurPage(request) && io.engine.clientsCount < maxWatchers),
  });
  const watchers = new Set<Watcher>();

  io.on("connection", (socket) => {
    watchers.add(socket);
    socket.data.waitingBytes = 0;
    // Emitted when the queue goes to the transport, which takes the next one only after the socket has taken this: at most twice the
    // limit waits for a watcher.
    socket.conn.on("drain", () => {
      socket.data.waitingBytes = 0;
    });
    socket.on("disconnect", () => watchers.delete(socket));
  });

  const unwatch = view.watch((event) => {
    if (watchers.size === 0) return;
    const bytes = JSON.stringify(event.view).length;
    for (const watcher of watchers) {
      watcher.data.waitingBytes += bytes;
      if (watcher.data.waitingBytes > maxWaitingBytes) {
        log.warn({ waitingBytes: watcher.data.waitingBytes }, "a watcher does not keep up: disconnected");
        watchers.delete(watcher);
        cut(watcher);
      } else {
        send(watcher, event);
      }
    }
  });

  return {
    async close() {
      unwatch();
      await io.close();
    },
  };
}

function send(watcher: Watcher, event: LiveEvent): void {
  // One call for each name, so that name and view stay one pair to the compiler.
  switch (event.name) {
    case "device":
      return void watcher.emit("device", event.view);
    case "round":
      return void watcher.emit("round", event.view);
    case "version":
      return void watcher.emit("version", event.view);
    case "alert":
      return void watcher.emit("alert", event.view);
    case "task":
      return void watcher.emit("task", event.view);
  }
}

/** Ends a connection that reads nothing: an orderly close would wait behind all that it has not read. */
function cut(watcher: Watcher): void {
  const { transport } = watcher.conn as unknown as { transport: { socket?: { terminate?(): void } } };
  watcher.conn.close(true);
  transport.socket?.terminate?.();
}

/** Browsers let any page open a WebSocket to any host, CORS or not; they do say whose page it is. Other programs send no Origin. */
function fromOurPage(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

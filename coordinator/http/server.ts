import type { AddressInfo } from "node:net";
import Fastify from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Log } from "../log.ts";
import type { View } from "../view.ts";
import { answer, answerError } from "./errors.ts";
import { openLive } from "./live.ts";
import { addOpenApi, addOpenApiRoute } from "./openapi.ts";
import { addRoutes } from "./routes.ts";

export interface HttpOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly view: View;
  readonly log: Log;
  readonly live?: { readonly maxWaitingBytes?: number; readonly maxWatchers?: number };
}

/** Views of 4,000 devices, all changed at once. */
const maxWaitingBytesDefault = 4 * 1024 * 1024;
const maxWatchersDefault = 64;

/**
 * The read-only HTTP interface and the live feed, on one port.
 *
 * Throws BAD_INPUT where the port is taken or the host is not ours.
 */
export async function openHttp({
  host,
  port,
  view,
  log,
  live,
}: HttpOptions): Promise<{ readonly url: string; close(): Promise<void> }> {
  const app = Fastify({
    logger: false,
    bodyLimit: 1024,
    forceCloseConnections: true,
    // Errors from before there is a route, such as a path that can't be decoded.
    frameworkErrors: answerError(log),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler(answerError(log));
  app.setNotFoundHandler((request, reply) => {
    const { status, body } = answer(404, "NOT_FOUND", `there is no ${request.url.slice(0, 200)} here`);
    return reply.code(status).send(body);
  });
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-content-type-options", "nosniff");
    if (request.method === "GET" || request.method === "HEAD") return;
    const { status, body } = answer(405, "FORBIDDEN", "this interface is read only: use GET");
    return reply.code(status).header("allow", "GET, HEAD").send(body);
  });
  app.addHook("onResponse", async (request, reply) => {
    log.debug(
      { method: request.method, url: request.url, status: reply.statusCode, ms: reply.elapsedTime },
      "http",
    );
  });

  await addOpenApi(app);
  addRoutes(app, view);
  addOpenApiRoute(app);
  await app.ready();
  const feed = openLive({
    server: app.server,
    view,
    log,
    maxWaitingBytes: live?.maxWaitingBytes ?? maxWaitingBytesDefault,
    maxWatchers: live?.maxWatchers ?? maxWatchersDefault,
  });

  async function close(): Promise<void> {
    // First the watchers: the server would wait for their connections.
    await feed.close();
    await app.close();
  }
  try {
    await app.listen({ host, port });
  } catch (cause) {
    await close();
    throw new FleetError(
      "BAD_INPUT",
      `the HTTP interface can't listen on ${host}:${port} (${(cause as NodeJS.ErrnoException).code}): choose another address or port`,
      { cause },
    );
  }
  const { address, family, port: bound } = app.server.address() as AddressInfo;
  return { url: `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`, close };
}

import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { AlertView, DeviceView, RoundView, TaskView, VersionView } from "../../protocol/api.ts";
import { FleetError } from "../../protocol/errors.ts";
import { DeviceId } from "../../protocol/ids.ts";
import type { View } from "../view.ts";
import { ApiError } from "./errors.ts";

const pageDefault = 50;
const pageMax = 500;

const limit = z.coerce
  .number()
  .int()
  .min(1)
  .max(pageMax)
  .default(pageDefault)
  .describe(`How many to return, newest first: 1 to ${pageMax}.`);

const before = (what: string) =>
  z.coerce
    .number()
    .int()
    .positive()
    .optional()
    .describe(`Only what is older than this ${what}: give the last one of a page to get the next.`);

/** The page of a request, without `before` where none was asked for. */
function page(query: { readonly limit: number; readonly before?: number | undefined }) {
  return query.before === undefined ? { limit: query.limit } : { limit: query.limit, before: query.before };
}

/** Everything that may be asked of a coordinator. Nothing here changes anything. */
export function addRoutes(fastify: FastifyInstance, view: View): void {
  const app = fastify.withTypeProvider<ZodTypeProvider>();

  app.get(
    "/",
    {
      schema: {
        tags: ["service"],
        summary: "What can be asked here",
        response: {
          200: z.object({
            name: z.literal("starling"),
            endpoints: z.array(z.string()),
            live: z.string(),
          }),
        },
      },
    },
    () => ({
      name: "starling" as const,
      endpoints: [
        "/healthz",
        "/readyz",
        "/api/v1/task",
        "/api/v1/fleet",
        "/api/v1/fleet/{device}",
        "/api/v1/rounds",
        "/api/v1/rounds/{number}",
        "/api/v1/versions",
        "/api/v1/alerts",
        "/api/v1/openapi.json",
      ],
      live: "socket.io at /socket.io: events device, round, version, alert, task",
    }),
  );

  app.get(
    "/healthz",
    {
      schema: {
        tags: ["service"],
        summary: "Is the process alive?",
        response: { 200: z.object({ alive: z.literal(true) }) },
      },
    },
    () => ({ alive: true as const }),
  );

  app.get(
    "/readyz",
    {
      schema: {
        tags: ["service"],
        summary: "Can it take devices?",
        description: "503 with the reason while the lease, the journal or the broker is missing.",
        response: { 200: z.object({ ready: z.literal(true) }), 503: ApiError },
      },
    },
    async (_request, reply) => {
      const { ready, reason } = view.ready();
      if (ready) return { ready: true as const };
      reply.code(503);
      return { code: "UNAVAILABLE", message: reason ?? "the coordinator is not ready" };
    },
  );

  app.get(
    "/api/v1/task",
    {
      schema: {
        tags: ["training"],
        summary: "The task and how far it is",
        response: { 200: TaskView },
      },
    },
    () => view.task(),
  );

  app.get(
    "/api/v1/fleet",
    {
      schema: {
        tags: ["fleet"],
        summary: "All devices",
        response: { 200: z.array(DeviceView) },
      },
    },
    () => [...view.fleet()],
  );

  app.get(
    "/api/v1/fleet/:device",
    {
      schema: {
        tags: ["fleet"],
        summary: "One device",
        description: "Example: `curl http://localhost:8080/api/v1/fleet/pump-1`",
        params: z.object({ device: DeviceId }),
        response: { 200: DeviceView, 400: ApiError, 404: ApiError },
      },
    },
    ({ params }) => {
      const device = view.device(params.device);
      if (device === undefined) throw new FleetError("NOT_FOUND", `there is no device ${params.device}`);
      return device;
    },
  );

  app.get(
    "/api/v1/rounds",
    {
      schema: {
        tags: ["training"],
        summary: "Rounds, newest first",
        description: "Example: `curl 'http://localhost:8080/api/v1/rounds?limit=10&before=21'`",
        querystring: z.strictObject({ limit, before: before("round's number") }),
        response: { 200: z.array(RoundView), 400: ApiError },
      },
    },
    async ({ query }) => [...(await view.rounds(page(query)))],
  );

  app.get(
    "/api/v1/rounds/:number",
    {
      schema: {
        tags: ["training"],
        summary: "One round",
        params: z.object({ number: z.coerce.number().int().positive() }),
        response: { 200: RoundView, 400: ApiError, 404: ApiError },
      },
    },
    async ({ params }) => {
      const round = await view.round(params.number);
      if (round === undefined) throw new FleetError("NOT_FOUND", `there is no round ${params.number}`);
      return round;
    },
  );

  app.get(
    "/api/v1/versions",
    {
      schema: {
        tags: ["training"],
        summary: "Versions of the global model, newest first",
        querystring: z.strictObject({ limit, before: before("version's number") }),
        response: { 200: z.array(VersionView), 400: ApiError },
      },
    },
    async ({ query }) => [...(await view.versions(page(query)))],
  );

  app.get(
    "/api/v1/alerts",
    {
      schema: {
        tags: ["fleet"],
        summary: "Alerts, newest first",
        description: "Example: `curl 'http://localhost:8080/api/v1/alerts?device=pump-1&limit=20'`",
        querystring: z.strictObject({
          device: DeviceId.optional().describe("Only this device's."),
          limit,
          before: before("alert's seq"),
        }),
        response: { 200: z.array(AlertView), 400: ApiError },
      },
    },
    async ({ query }) => {
      const { device } = query;
      return [...(await view.alerts(device === undefined ? page(query) : { ...page(query), device }))];
    },
  );
}

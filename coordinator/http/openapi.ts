import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import { AlertView, DeviceView, RoundView, TaskView, VersionView } from "../../protocol/api.ts";
import { ApiError } from "./errors.ts";

/** The OpenAPI 3.1 document of the routes that are added after this. */
export async function addOpenApi(app: FastifyInstance): Promise<void> {
  const schemaRegistry = z.registry<{ id?: string | undefined; description?: string }>();
  const named = { AlertView, ApiError, DeviceView, RoundView, TaskView, VersionView };
  for (const [id, schema] of Object.entries(named)) schemaRegistry.add(schema, { id });

  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Starling coordinator",
        version: "1",
        description: [
          "What a coordinator knows of its fleet: devices, rounds, versions of the global model, alerts. Read only.",
          "Times are milliseconds since 1970. Lists come newest first in pages; the next page is asked for with `before`.",
          "Every answer that is not 200 has a body `{ code, message }`.",
          "Changes come over socket.io on the same port as the events `device`, `round`, `version`, `alert` and `task`, each with the",
          "view that the matching request returns: read the state over HTTP, then follow the events.",
        ].join("\n"),
      },
      tags: [
        { name: "fleet", description: "Devices and what they report" },
        { name: "training", description: "The task, its rounds and versions" },
        { name: "service", description: "The coordinator itself" },
      ],
    },
    transform: createJsonSchemaTransform({ schemaRegistry }),
    transformObject: createJsonSchemaTransformObject({ schemaRegistry }),
  });
}

/** Once, when all routes are there: a document that can't be built is found at the start and not by the first reader. */
export function addOpenApiRoute(app: FastifyInstance): void {
  let document: string | undefined;
  app.addHook("onReady", async () => {
    document = JSON.stringify(app.swagger());
  });
  app.get("/api/v1/openapi.json", { schema: { hide: true } }, (_request, reply) =>
    reply.type("application/json").send(document),
  );
}

import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import { z } from "zod";
import { FleetError } from "../../protocol/errors.ts";
import type { Log } from "../log.ts";

/** The body of every answer that is not 200. */
export const ApiError = z
  .object({
    code: z.string().describe("Stable, for machines."),
    message: z.string().describe("One sentence for people."),
  })
  .describe("Why a request was not answered.");
export type ApiError = z.infer<typeof ApiError>;

export function answerError(log: Log) {
  return (error: FastifyError | FleetError, request: FastifyRequest, reply: FastifyReply): void => {
    const { status, body } = toApiError(error);
    if (status >= 500) log.error({ err: error, url: request.url }, "a request failed");
    reply.code(status).send(body);
  };
}

function toApiError(error: FastifyError | FleetError): { readonly status: number; readonly body: ApiError } {
  if (hasZodFastifySchemaValidationErrors(error)) {
    // "/limit" -> "limit"; a fault of the whole query, such as an unknown key, has no path.
    const { instancePath, message } = error.validation[0]!;
    const where = instancePath.replaceAll("/", " ").trim();
    return answer(400, "BAD_INPUT", where === "" ? `${message}` : `${where}: ${message}`);
  }
  if (error instanceof FleetError) {
    if (error.code === "NOT_FOUND") return answer(404, error.code, error.message);
    if (error.code === "BAD_INPUT") return answer(400, error.code, error.message);
    if (error.code === "UNAVAILABLE") return answer(503, error.code, error.message);
  } else if (error.statusCode !== undefined && error.statusCode < 500) {
    return answer(error.statusCode, "BAD_INPUT", error.message);
  }
  return answer(500, "INTERNAL", "the coordinator could not answer; its log says why");
}

export function answer(status: number, code: string, message: string) {
  return { status, body: { code, message } };
}

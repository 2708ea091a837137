import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { ApiError } from "../../../coordinator/http/errors.ts";
import { openHttp } from "../../../coordinator/http/server.ts";
import { AlertView, DeviceView, RoundView, TaskView, VersionView } from "../../../protocol/api.ts";
import { alert, device, type FakeView, fakeView, round, task } from "./fake-view.ts";

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

let view: FakeView;
let http: Awaited<ReturnType<typeof openHttp>>;
beforeEach(async () => {
  view = fakeView();
  http = await openHttp({ host: "127.0.0.1", port: 0, view, log });
});
afterEach(() => http.close());

async function get<S extends z.ZodType>(path: string, schema: S): Promise<z.infer<S>> {
  const response = await fetch(http.url + path);
  expect([path, response.status]).toEqual([path, 200]);
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  return schema.parse(await response.json());
}

async function refusal(path: string, init?: RequestInit) {
  const response = await fetch(http.url + path, init);
  return { status: response.status, ...ApiError.parse(await response.json()) };
}

describe("http", () => {
  test("answers every endpoint with what its schema says", async () => {
    expect(await get("/healthz", z.unknown())).toEqual({ alive: true });
    expect(await get("/readyz", z.unknown())).toEqual({ ready: true });
    expect(await get("/api/v1/task", z.strictObject(TaskView.shape))).toEqual(task);
    expect(await get("/api/v1/fleet", z.array(z.strictObject(DeviceView.shape)))).toEqual(view.devices);
    expect(await get("/api/v1/fleet/pump-2", z.strictObject(DeviceView.shape))).toEqual(device("pump-2"));
    expect(await get("/api/v1/rounds/7", z.strictObject(RoundView.shape))).toEqual(round(7));
    expect(await get("/api/v1/versions", z.array(z.strictObject(VersionView.shape)))).toHaveLength(3);
    expect((await get("/api/v1/alerts", z.array(z.strictObject(AlertView.shape))))[0]).toEqual(
      alert(20, "pump-1"),
    );
  });

  test("the first page names the endpoints, and each of them answers", async () => {
    const { endpoints } = await get("/", z.object({ endpoints: z.array(z.string()) }));
    for (const path of endpoints)
      await get(path.replace("{device}", "pump-1").replace("{number}", "1"), z.unknown());
  });

  test("pages of rounds follow each other without a gap", async () => {
    const rounds = z.array(RoundView);
    expect(await get("/api/v1/rounds", rounds)).toHaveLength(50);
    expect(await get("/api/v1/rounds?limit=500", rounds)).toHaveLength(500);
    const first = await get("/api/v1/rounds?limit=10", rounds);
    const second = await get(`/api/v1/rounds?limit=10&before=${first.at(-1)!.round}`, rounds);
    expect([...first, ...second].map((r) => r.round)).toEqual(Array.from({ length: 20 }, (_, i) => 600 - i));
    expect(view.asked).toEqual([{ limit: 50 }, { limit: 500 }, { limit: 10 }, { limit: 10, before: 591 }]);
  });

  test("alerts of one device", async () => {
    const alerts = await get("/api/v1/alerts?device=pump-2&limit=3&before=19", z.array(AlertView));
    expect(alerts.map((a) => [a.device, a.seq])).toEqual([
      ["pump-2", 17],
      ["pump-2", 15],
      ["pump-2", 13],
    ]);
    expect(view.asked).toEqual([{ device: "pump-2", limit: 3, before: 19 }]);
  });

  test("says why it is not ready", async () => {
    view.state = { ready: false, reason: "the broker does not listen" };
    expect(await refusal("/readyz")).toEqual({
      status: 503,
      code: "UNAVAILABLE",
      message: "the broker does not listen",
    });
    expect(await get("/healthz", z.unknown())).toEqual({ alive: true });
  });

  test.each([
    ["/api/v1/rounds?limit=501", "limit"],
    ["/api/v1/rounds?limit=0", "limit"],
    ["/api/v1/rounds?limit=ten", "limit"],
    ["/api/v1/rounds?limit=1.5", "limit"],
    ["/api/v1/rounds?limit=1&limit=2", "limit"],
    ["/api/v1/rounds?before=", "before"],
    ["/api/v1/rounds?before=-3", "before"],
    ["/api/v1/versions?page=2", "page"],
    ["/api/v1/alerts?device=Pump%201", "device"],
    ["/api/v1/fleet/Pump%201", "device"],
    ["/api/v1/rounds/last", "number"],
    ["/api/v1/rounds/%ff", "%ff"],
  ])("%s is refused in a sentence that names %s", async (path, name) => {
    const { status, code, message } = await refusal(path);
    expect([status, code]).toEqual([400, "BAD_INPUT"]);
    expect(message).toContain(name);
    expect(message).not.toContain("\n");
  });

  test("what is not there is NOT_FOUND", async () => {
    for (const path of ["/api/v1/fleet/pump-9", "/api/v1/rounds/601", "/api/v2/fleet", "/nowhere"])
      expect(await refusal(path)).toMatchObject({ status: 404, code: "NOT_FOUND" });
  });

  test("is read only: every other method is refused, on every path", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"])
      for (const path of ["/api/v1/fleet/pump-1", "/api/v1/task", "/nowhere"]) {
        const body = method === "DELETE" ? {} : { body: "x".repeat(10_000) };
        expect(await refusal(path, { method, ...body })).toMatchObject({ status: 405 });
      }
  });

  test("no other origin is let in, and no type is guessed", async () => {
    const response = await fetch(`${http.url}/api/v1/fleet`, { headers: { origin: "http://evil.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("a view that is broken is a 500 without its inside", async () => {
    view.devices = [{ ...device("pump-1"), alerts: 0.5 }];
    expect(await refusal("/api/v1/fleet")).toEqual({
      status: 500,
      code: "INTERNAL",
      message: "the coordinator could not answer; its log says why",
    });
  });

  test("what is no HTTP ends its own connection only", async () => {
    const { hostname, port } = new URL(http.url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => undefined);
    socket.write("\x10\x00 this is no request\r\n\r\n").toString();
    await new Promise((resolve) => socket.resume().once("close", resolve));
    await get("/healthz", z.unknown());
  });

  test("a taken port is BAD_INPUT with the address", async () => {
    const port = Number(new URL(http.url).port);
    await expect(openHttp({ host: "127.0.0.1", port, view, log })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(`127.0.0.1:${port}`),
    });
  });
});

describe("openapi", () => {
  type Json = Record<string, unknown>;
  const Document = z.object({
    openapi: z.string(),
    info: z.object({ title: z.string(), description: z.string() }),
    paths: z.record(z.string(), z.object({ get: z.looseObject({ summary: z.string().min(5) }) }).strict()),
    components: z.object({ schemas: z.record(z.string(), z.looseObject({})) }),
  });

  test("describes every endpoint and every view", async () => {
    const document = await get("/api/v1/openapi.json", Document);
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths).sort()).toEqual(
      [
        "/",
        "/healthz",
        "/readyz",
        "/api/v1/task",
        "/api/v1/fleet",
        "/api/v1/fleet/{device}",
        "/api/v1/rounds",
        "/api/v1/rounds/{number}",
        "/api/v1/versions",
        "/api/v1/alerts",
      ].sort(),
    );
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(["AlertView", "ApiError", "DeviceView", "RoundView", "TaskView", "VersionView"]),
    );
    const rounds = JSON.stringify(document.paths["/api/v1/rounds"]);
    expect(rounds).toContain('"maximum":500');
    expect(rounds).toContain('"#/components/schemas/RoundView"');
    const parameters = document.paths["/api/v1/alerts"]!.get.parameters as {
      name: string;
      required: boolean;
    }[];
    expect(parameters.map(({ name }) => name).sort()).toEqual(["before", "device", "limit"]);
    expect(parameters.some(({ required }) => required)).toBe(false);
  });

  test("every $ref leads somewhere, and every path parameter is described", async () => {
    const document = await get("/api/v1/openapi.json", z.looseObject({ paths: Document.shape.paths }));
    const refs: string[] = [];
    const collect = (node: unknown): void => {
      if (node === null || typeof node !== "object") return;
      for (const [key, value] of Object.entries(node)) {
        if (key === "$ref") refs.push(value as string);
        else collect(value);
      }
    };
    collect(document);
    expect(refs.length).toBeGreaterThan(10);
    for (const ref of refs) {
      const steps = ref.replace(/^#\//, "").split("/");
      const target = steps.reduce<unknown>((node, step) => (node as Json | undefined)?.[step], document);
      expect([ref, typeof target]).toEqual([ref, "object"]);
    }
    for (const [path, { get: operation }] of Object.entries(document.paths)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const parameters = (operation.parameters ?? []) as { name: string; in: string }[];
      expect(parameters.filter((p) => p.in === "path").map(({ name }) => name)).toEqual(named);
    }
  });
});

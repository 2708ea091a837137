import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { asFleetError, FleetError } from "../../../protocol/errors.ts";
import type { Model } from "../compile.ts";
import { compile, type EngineOptions } from "../engines.ts";
import type { FitOptions } from "../fit-options.ts";
import type { Arrays } from "../samples.ts";
import { HELPER_ROLE, type HelperData } from "../threads/exchange.ts";
import { runHelper } from "../threads/helper.ts";
import { type Answer, ENGINE_ROLE, Request, type Wanted } from "./messages.ts";
import { buffersOf } from "./transfer.ts";

/** Whether this thread was started by `openEngineWorker` or by a `fit` with threads, for a script that is more than the engine's thread. */
export function isEngineThread(): boolean {
  return parentPort !== null && (startedAs() === ENGINE_ROLE || startedAs() === HELPER_ROLE);
}

/** The engine's thread, or one that helps a fit. */
export function runEngineThread(): void {
  if (parentPort === null) return;
  if (startedAs() === HELPER_ROLE) {
    runHelper(parentPort, workerData as HelperData).catch((error: unknown) => {
      setImmediate(() => {
        throw error; // ends the thread, and whoever started it is told
      });
    });
  } else answerClient(parentPort);
}

function startedAs(): unknown {
  return (workerData as { role?: unknown } | null)?.role;
}

/** Answers what a client asks. Calls of one model may overlap as they may without a thread. */
function answerClient(port: MessagePort): void {
  const { script } = (workerData ?? {}) as { readonly script?: string };
  const own = script === undefined ? {} : { threadScript: new URL(script) };
  const models = new Map<number, Model>();
  const fits = new Map<number, AbortController>();
  const send = (answer: Answer) => {
    port.postMessage(answer, answer.kind === "done" ? buffersOf(answer.value) : []);
  };
  const modelOf = (number: number): Model => {
    const model = models.get(number);
    if (model === undefined) throw new FleetError("UNAVAILABLE", "the model was disposed; compile it again");
    return model;
  };

  const train = async (id: number, model: Model, [x, y, options, wanted]: readonly unknown[]) => {
    const { epochs, batches } = wanted as Wanted;
    const controller = new AbortController();
    fits.set(id, controller);
    const report = (event: "epoch" | "batch") => (value: unknown) =>
      send({ kind: "event", id, event, value });
    try {
      return await model.fit(x as Arrays, y as Arrays, {
        ...(options as FitOptions),
        signal: controller.signal,
        ...(epochs && { onEpoch: report("epoch") }),
        ...(batches && { onBatch: report("batch") }),
      });
    } finally {
      fits.delete(id);
    }
  };

  const answer = async (request: Extract<Request, { id: number }>): Promise<unknown> => {
    if (request.kind === "compile") {
      const model = await compile(request.topology, { ...(request.options as EngineOptions), ...own });
      models.set(request.id, model);
      const { layout, parameters, inputShape, outputShape, engine, choice } = model;
      return { model: request.id, layout, parameters, inputShape, outputShape, engine, choice };
    }
    if (request.kind === "abort") return fits.get(request.id)?.abort();
    const model = modelOf(request.model);
    if (request.method === "fit") return train(request.id, model, request.args);
    return (model[request.method] as (...args: unknown[]) => unknown)(...request.args);
  };

  port.on("message", (raw: unknown) => {
    const request = Request.parse(raw);
    if (request.kind === "dispose") {
      models.get(request.model)?.dispose();
      models.delete(request.model);
      return;
    }
    answer(request).then(
      (value) => {
        if (request.kind !== "abort") send({ kind: "done", id: request.id, value });
      },
      (error: unknown) => {
        const { code, message } = asFleetError(error, "UNAVAILABLE");
        send({ kind: "failed", id: request.id, code, message });
      },
    );
  });
}

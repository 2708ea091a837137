import { Worker } from "node:worker_threads";
import { type ErrorCode, FleetError } from "../../../protocol/errors.ts";
import { kernelModule } from "../../kernels/load.ts";
import type { Choice, Model } from "../compile.ts";
import type { ModelEvaluateOptions, ModelEvaluation } from "../evaluate.ts";
import type { BatchEvent, EpochEvent, FitOptions } from "../fit-options.ts";
import type { FitResult } from "../loop.ts";
import type { Arrays } from "../samples.ts";
import type { Layout, Shape } from "../shape.ts";
import { Answer, ENGINE_ROLE, type Method, type Request, type Wanted } from "./messages.ts";
import { buffersOf, whole } from "./transfer.ts";

/** The engine in a thread of its own, so that training never holds up the caller's event loop. */
export interface EngineWorker {
  /** As `compile`, in the thread. Throws what it throws. */
  compile(topology: unknown, options: RemoteCompileOptions): Promise<RemoteModel>;
  /** Ends the thread; what is under way is rejected with ABORTED. */
  close(): Promise<void>;
}

export interface RemoteCompileOptions {
  readonly seed: number;
  readonly maxBatch?: number;
  readonly engine?: "starling" | "tfjs" | "auto";
}

/**
 * A model in the thread. The arrays of x, y and validationData are handed over without a copy and are empty afterwards: give arrays on a
 * SharedArrayBuffer where they are needed again. A part of a larger buffer (subarray) is copied, and stays.
 */
export interface RemoteModel {
  readonly layout: Layout;
  readonly parameters: number;
  readonly inputShape: Shape;
  readonly outputShape: Shape;
  readonly engine: Model["engine"];
  readonly choice?: Choice;
  weights(): Promise<Float32Array>;
  setWeights(flat: Float32Array): Promise<void>;
  fit(x: Arrays, y: Arrays, options: FitOptions): Promise<FitResult>;
  predict(x: Arrays): Promise<Float32Array>;
  predictAll(x: Arrays): Promise<Float32Array[]>;
  evaluate(x: Arrays, y: Arrays, options?: ModelEvaluateOptions): Promise<ModelEvaluation>;
  summary(): Promise<string>;
  dispose(): void;
}

export interface EngineWorkerOptions {
  /**
   * The thread's script, and that of threads that help it to train: one that calls `runEngineThread`. Left out, the one beside this file in dist/; a bundle, which has no file beside it,
   * gives itself and calls `runEngineThread` where `isEngineThread()`.
   */
  readonly script?: URL;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: FleetError) => void;
  readonly onEvent?: (event: "epoch" | "batch", value: unknown) => void;
}

export function openEngineWorker({ script = besides() }: EngineWorkerOptions = {}): EngineWorker {
  const worker = new Worker(script, {
    workerData: { role: ENGINE_ROLE, script: script.href },
    name: "engine",
  });
  const pending = new Map<number, Pending>();
  let ended: FleetError | undefined;
  let calls = 0;
  worker.unref(); // an idle thread does not keep the process alive

  const settle = (id: number): Pending | undefined => {
    const call = pending.get(id);
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    return call;
  };
  const end = (error: FleetError) => {
    ended ??= error;
    for (const id of [...pending.keys()]) settle(id)?.reject(ended);
  };
  worker.on("message", (raw: unknown) => {
    const answer = Answer.parse(raw);
    if (answer.kind === "event") pending.get(answer.id)?.onEvent?.(answer.event, answer.value);
    else if (answer.kind === "done") settle(answer.id)?.resolve(answer.value);
    else settle(answer.id)?.reject(new FleetError(answer.code as ErrorCode, answer.message));
  });
  worker.on("error", (cause: Error) => {
    end(new FleetError("UNAVAILABLE", `the engine's thread failed: ${cause.message}`, { cause }));
  });
  worker.on("exit", () => end(new FleetError("UNAVAILABLE", "the engine's thread ended; open a new one")));

  /** Sends a request and waits for its answer. Gives the request's id to `begun`. */
  const call = (
    make: (id: number) => Request,
    handed: unknown,
    onEvent?: Pending["onEvent"],
  ): { readonly id: number; readonly answer: Promise<unknown> } => {
    const id = calls++;
    if (ended) return { id, answer: Promise.reject(ended) };
    const answer = new Promise<unknown>((resolve, reject) => {
      pending.set(id, { resolve, reject, ...(onEvent && { onEvent }) });
    });
    worker.ref();
    try {
      worker.postMessage(make(id), buffersOf(handed));
    } catch (cause) {
      settle(id)?.reject(
        new FleetError("BAD_INPUT", "only arrays and plain options can be sent to the engine's thread", {
          cause,
        }),
      );
    }
    return { id, answer };
  };

  const remote = (model: number, facts: Facts): RemoteModel => {
    let disposed = false;
    const ask = (method: Method, args: unknown[], handed: unknown, onEvent?: Pending["onEvent"]) => {
      if (disposed) {
        const error = new FleetError("UNAVAILABLE", "the model was disposed; compile it again");
        return { id: -1, answer: Promise.reject(error) };
      }
      return call((id) => ({ kind: "call", id, model, method, args }), handed, onEvent);
    };
    const data = <T>(method: Method, ...arrays: unknown[]) => {
      const sent = whole(arrays);
      return ask(method, sent, sent).answer as Promise<T>;
    };
    return {
      ...facts,
      weights: () => ask("weights", [], []).answer as Promise<Float32Array>,
      setWeights: (flat) => ask("setWeights", [flat], []).answer as Promise<void>,
      predict: (x) => data("predict", x),
      predictAll: (x) => data("predictAll", x),
      evaluate: (x, y, options) => data("evaluate", x, y, options),
      summary: () => ask("summary", [], []).answer as Promise<string>,
      async fit(x, y, { signal, onEpoch, onBatch, ...options }) {
        if (signal?.aborted) throw aborted(signal);
        const wanted: Wanted = { epochs: onEpoch !== undefined, batches: onBatch !== undefined };
        const { validationData } = options;
        const sent = whole([x, y, validationData]);
        const settings = validationData === undefined ? options : { ...options, validationData: sent[2] };
        const { id, answer } = ask("fit", [sent[0], sent[1], settings, wanted], sent, (event, value) => {
          if (event === "epoch") onEpoch?.(value as EpochEvent);
          else onBatch?.(value as BatchEvent);
        });
        const abort = () => worker.postMessage({ kind: "abort", id } satisfies Request);
        signal?.addEventListener("abort", abort);
        try {
          return (await answer) as FitResult;
        } catch (error) {
          if (signal?.aborted && (error as FleetError).code === "ABORTED") throw aborted(signal);
          throw error;
        } finally {
          signal?.removeEventListener("abort", abort);
        }
      },
      dispose() {
        if (disposed || ended) return;
        disposed = true;
        worker.postMessage({ kind: "dispose", model } satisfies Request);
      },
    };
  };

  return {
    async compile(topology, options) {
      // Compiled once per process: the thread need not do it again.
      const module = await kernelModule();
      const settings = { ...options, module };
      const { answer } = call((id) => ({ kind: "compile", id, topology, options: settings }), []);
      const { model, ...facts } = (await answer) as Facts & { readonly model: number };
      return remote(model, facts);
    },
    async close() {
      end(new FleetError("ABORTED", "the engine's thread was closed"));
      await worker.terminate();
    },
  };
}

type Facts = Pick<RemoteModel, "layout" | "parameters" | "inputShape" | "outputShape" | "engine" | "choice">;

function besides(): URL {
  return new URL("./thread.js", import.meta.url);
}

function aborted(signal: AbortSignal): FleetError {
  return new FleetError("ABORTED", "training was aborted", { cause: signal.reason });
}

import { FleetError } from "../../../protocol/errors.ts";
import type { Model } from "../compile.ts";
import { translated } from "../dialect.ts";
import type { ModelEvaluateOptions } from "../evaluate.ts";
import { toTfjs } from "../files/tfjs-topology.ts";
import type { FitOptions } from "../fit-options.ts";
import { initialWeights, type Plan, planOf } from "../plan.ts";
import { predict } from "../predict.ts";
import { createRandom } from "../random.ts";
import { dataAndOptions, listOf } from "../samples.ts";
import { parseTopology, unwrap } from "../topology.ts";
import type { Tf } from "./api.ts";
import { evaluateTf, type TfSession, trainTf } from "./fit.ts";
import { createTfMachine, type TfMachine } from "./machine.ts";

/**
 * A model that tfjs computes, behind the same interface. Its first weights are the bits of the own engine's where that can read the topology, else
 * tfjs's initializers with seeds. Dropout and noise draw from tfjs's own randomness, which has no seed. Throws UNSUPPORTED.
 */
export async function compileTf(
  tf: Tf,
  topology: unknown,
  { seed, maxBatch = 32 }: { readonly seed: number; readonly maxBatch?: number | undefined },
): Promise<Model> {
  const raw = unwrap(topology);
  const plan = await ownPlan(raw);
  const { json, frozen } = prepare(inTheirWords(raw, plan), seed);
  const inner = await tf.models.modelFromJSON({ modelTopology: json }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new FleetError("UNSUPPORTED", `the tfjs engine can't read the topology: ${reason}`, { cause });
  });
  const made = createTfMachine(tf, inner, { maxBatch, plan });
  if (plan && JSON.stringify(plan.layout) === JSON.stringify(made.layout))
    made.setWeights(initialWeights(plan, seed));
  let machine: TfMachine | null = made;
  const session: TfSession = { optimizer: undefined, frozen };
  const masked = hasMasks(json) && made.outputs.some(({ shape }) => shape.length > 1);
  const disposal = new AbortController();
  let fitting = false;

  function live(): TfMachine {
    if (!machine) throw new FleetError("UNAVAILABLE", "the model was disposed; compile it again");
    return machine;
  }
  function checkMasks(): void {
    if (masked)
      throw new FleetError(
        "UNSUPPORTED",
        'the tfjs engine does not take masked steps out of the loss; use engine "starling"',
      );
  }

  async function fitModel(...args: readonly unknown[]) {
    const target = live();
    checkMasks();
    if (fitting)
      throw new FleetError("UNAVAILABLE", "the model is already training; wait for that fit to end");
    fitting = true;
    try {
      const { data, options } = dataAndOptions<FitOptions>(args);
      return await trainTf(target, data, options, { session, disposal: disposal.signal });
    } finally {
      fitting = false;
      if (disposal.signal.aborted) release(target);
    }
  }

  function release({ model }: TfMachine): void {
    session.optimizer?.dispose();
    session.optimizer = undefined;
    model.dispose();
  }

  return {
    engine: "tfjs",
    layout: made.layout,
    topology: raw,
    parameters: made.parameters,
    inputShape: made.inputs[0]!.shape,
    outputShape: made.outputs[0]!.shape,
    inputShapes: made.inputs.map(({ shape }) => shape),
    outputShapes: made.outputs.map(({ shape }) => shape),
    weights: () => live().weights(),
    setWeights(flat) {
      const target = live();
      if (flat.length !== target.parameters)
        throw new FleetError(
          "BAD_SHAPE",
          `there are ${flat.length} weights, the model has ${target.parameters}`,
        );
      if (!flat.every(Number.isFinite))
        throw new FleetError("NOT_FINITE", "the weights hold NaN or Inf; the old ones stay");
      target.setWeights(flat);
    },
    fit: fitModel,
    predict: (x) => predict(live(), listOf(x))[0]!,
    predictOne: (x) => predict(live(), [x])[0]!,
    predictAll: (x) => predict(live(), listOf(x)),
    evaluate(...args: readonly unknown[]) {
      const { data, options } = dataAndOptions<ModelEvaluateOptions | undefined>(args);
      checkMasks();
      return evaluateTf(live(), data, options);
    },
    stepper() {
      throw new FleetError(
        "UNSUPPORTED",
        'the tfjs engine cannot be stepped; score whole windows with predict, or use engine "starling"',
      );
    },
    summary() {
      const lines: string[] = [];
      live().model.summary(100, undefined, (line) => void lines.push(line));
      return lines.join("\n");
    },
    dispose() {
      disposal.abort();
      if (machine && !fitting) release(machine);
      machine = null;
    },
  };
}

/**
 * tfjs reads some words of Keras 3 as something else, so they are translated or refused. What only tfjs knows is left to it, as long as it is in
 * tfjs's own words.
 */
function inTheirWords(topology: unknown, plan: Plan | undefined): unknown {
  return plan !== undefined || translated(topology) !== topology ? toTfjs(topology) : topology;
}

/**
 * The topology as tfjs is given it: frozen layers are thawed, as tfjs would move their weights to the end of the layout, and named instead;
 * initializers get seeds.
 */
function prepare(
  topology: unknown,
  seed: number,
): { readonly json: object; readonly frozen: readonly string[] } {
  const frozen: string[] = [];
  const random = createRandom(seed);
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value !== "object" || value === null) return value;
    const copy: Record<string, unknown> = {};
    for (const [key, part] of Object.entries(value)) copy[key] = walk(part);
    if (copy.trainable === false && typeof copy.name === "string") {
      frozen.push(copy.name);
      copy.trainable = true;
    }
    const { config } = copy as { config?: Record<string, unknown> };
    // tfjs has orthogonal matrices, but not with a seed.
    if (config && "seed" in config && config.seed == null && copy.class_name !== "Orthogonal")
      copy.config = { ...config, seed: random.integer(2 ** 31) };
    return copy;
  };
  const json = walk(topology);
  if (typeof json !== "object" || json === null)
    throw new FleetError("BAD_INPUT", "the topology is not LayersModel JSON; export it with model.toJSON()");
  return { json, frozen };
}

function hasMasks(json: object): boolean {
  const text = JSON.stringify(json);
  return /"class_name":"Masking"|"mask_zero":true/.test(text);
}

async function ownPlan(topology: unknown): Promise<Plan | undefined> {
  try {
    return await planOf(parseTopology(topology));
  } catch (error) {
    if (error instanceof FleetError) return undefined; // tfjs may still have what this engine lacks
    throw error;
  }
}

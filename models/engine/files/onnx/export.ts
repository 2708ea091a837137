import type { Model } from "../../compile.ts";
import { layerKindsOf, layerPlanOf } from "../../plan.ts";
import { type Shape, sizeOf } from "../../shape.ts";
import { parseTopology } from "../../topology.ts";
import type { Weight } from "./emit.ts";
import { createGraph } from "./graph.ts";
import { emit } from "./layers.ts";

/**
 * The model as an ONNX file (opset 17) for scoring: what dropout and noise do while training is left out. Inputs and outputs have the names
 * of their layers and float32 values (batch, ...shape), the batch open. Throws UNSUPPORTED, by name, for a layer that ONNX has no form of.
 */
export async function exportOnnx(model: Model): Promise<Uint8Array> {
  const topology = parseTopology(model.topology);
  const kinds = await layerKindsOf(topology);
  const graph = createGraph();
  const weights = weightsOf(model);
  const values: { readonly name: string; readonly shape: Shape }[] = [...topology.inputs];
  for (const { name, shape } of topology.inputs) graph.input(name, shape);

  for (const call of topology.calls) {
    const from = call.inputs.map((tensor) => values[tensor]!);
    const inputShapes = from.map(({ shape }) => shape);
    const { outputShape } = layerPlanOf(call, inputShapes, kinds);
    const name = emit({
      graph,
      kinds,
      name: call.name,
      className: call.className,
      config: call.config as Readonly<Record<string, unknown>>,
      call: call.call,
      inputs: from.map((value) => value.name),
      inputShapes,
      inputShape: inputShapes[0]!,
      outputShape,
      weight: (weight) => weights.get(`${call.name}/${weight}`),
    });
    values.push({ name, shape: outputShape });
  }

  const taken = new Set(topology.inputs.map(({ name }) => name));
  for (const tensor of topology.outputs) {
    const layer = topology.calls[tensor - topology.inputs.length]?.name ?? values[tensor]!.name;
    const name = unused(layer, taken);
    taken.add(name);
    graph.output(name, values[tensor]!.name, values[tensor]!.shape);
  }
  return graph.finish(topology.name);
}

function unused(name: string, taken: ReadonlySet<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name}_${i}`;
  return free;
}

function weightsOf(model: Model): Map<string, Weight> {
  const flat = model.weights();
  let offset = 0;
  return new Map(
    model.layout.map(({ name, shape }) => {
      offset += sizeOf(shape);
      return [name, { shape, values: flat.subarray(offset - sizeOf(shape), offset) }];
    }),
  );
}

import { describe, expect, it } from "vitest";
import type { LayerKind } from "../../../models/engine/layers/layer.ts";
import { loadLayerKinds } from "../../../models/engine/layers/registry.ts";
import { instantiate } from "../../../models/kernels/load.ts";
import { randomFloats, relativeError } from "./support.ts";

const BATCH = 5;

/** One layer by itself, with inputs of these shapes and masks. */
async function bound(
  className: string,
  config: object,
  inputs: readonly { readonly shape: number[]; readonly mask?: ArrayLike<number> }[],
) {
  const kernels = await instantiate(1 << 20);
  let end = Math.ceil(kernels.heapBase() / 64) * 64;
  const allocate = (floats: number) => {
    const address = end;
    end += Math.ceil(floats / 16) * 64;
    return address;
  };
  const view = (address: number, length: number) => new Float32Array(kernels.memory.buffer, address, length);
  const put = (values: ArrayLike<number>) => {
    const address = allocate(values.length);
    view(address, values.length).set(values);
    return address;
  };
  const kind = (await loadLayerKinds([className])).get(className) as LayerKind;
  const inputShapes = inputs.map(({ shape }) => shape);
  const plan = kind({
    name: "layer",
    className,
    config,
    call: {},
    inputShapes,
    inputShape: inputShapes[0]!,
  });
  const sizes = inputShapes.map((shape) => shape.reduce((a, b) => a * b, BATCH));
  const size = plan.outputShape.reduce((a, b) => a * b, BATCH);
  const output = {
    shape: plan.outputShape,
    value: allocate(size),
    gradient: put(randomFloats(size, 9)),
    mask: plan.mask === "merge" ? allocate(BATCH * plan.outputShape[0]!) : 0,
  };
  const tensors = inputs.map(({ shape, mask }, i) => ({
    shape,
    value: put(randomFloats(sizes[i]!, i + 1)),
    gradient: allocate(sizes[i]!),
    mask: mask === undefined ? 0 : put(mask),
  }));
  const layer = plan.bind({
    kernels,
    maxBatch: BATCH,
    allocate,
    inputs: tensors,
    output,
    weights: [],
    weightGradients: [],
    random: 0,
    state: 0,
    rows: { inputs: [], output: 0 },
  });
  return {
    plan,
    layer,
    values: tensors.map(({ value }, i) => view(value, sizes[i]!)),
    gradients: tensors.map(({ gradient }, i) => view(gradient, sizes[i]!)),
    output: view(output.value, size),
    outputGradient: view(output.gradient, size),
    mask: () => [...view(output.mask, BATCH * plan.outputShape[0]!)],
  };
}

const TIME = 4;
const someMask = (seed: number) => randomFloats(BATCH * TIME, seed).map((value) => (value > -0.2 ? 1 : 0));

describe("masks over time", () => {
  it("a global average is that of the steps that count", async () => {
    const mask = someMask(3);
    mask.fill(0, TIME, 2 * TIME); // the second sample has none
    const C = 6;
    const { layer, values, gradients, output, outputGradient } = await bound("GlobalAveragePooling1D", {}, [
      { shape: [TIME, C], mask },
    ]);
    layer.forward(BATCH, true);
    layer.backward(BATCH);
    const expected = new Float32Array(BATCH * C);
    const expectedGradient = new Float32Array(BATCH * TIME * C);
    for (let b = 0; b < BATCH; b++) {
      const steps = [0, 1, 2, 3].filter((t) => mask[b * TIME + t] === 1);
      for (let c = 0; c < C; c++) {
        for (const t of steps) {
          const place = (b * TIME + t) * C + c;
          expected[b * C + c]! += values[0]![place]! / steps.length;
          expectedGradient[place] = outputGradient[b * C + c]! / steps.length;
        }
      }
    }
    expect(relativeError(output, expected)).toBeLessThan(1e-6);
    expect(relativeError(gradients[0]!, expectedGradient)).toBeLessThan(1e-6);
    expect([...output.subarray(C, 2 * C)]).toEqual(Array(C).fill(0)); // Keras has NaN
  });

  it("joined series count where all that have a mask count", async () => {
    const [a, b] = [someMask(1), someMask(2)];
    for (const className of ["Add", "Maximum", "Concatenate"]) {
      const { layer, mask, plan } = await bound(className, {}, [
        { shape: [TIME, 3] },
        { shape: [TIME, 3], mask: a },
        { shape: [TIME, 3], mask: b },
      ]);
      expect(plan.mask).toBe("merge");
      layer.forward(BATCH, false);
      expect(mask()).toEqual([...a].map((value, i) => value * b[i]!));
    }
  });

  it("of series one after the other the masks follow each other; without a mask all counts", async () => {
    const a = someMask(1);
    const { layer, mask } = await bound("Concatenate", { axis: 1 }, [
      { shape: [2, 3] },
      { shape: [TIME, 3], mask: a },
    ]);
    layer.forward(BATCH, false);
    const expected = Array.from({ length: BATCH }, (_, i) => [1, 1, ...a.subarray(i * TIME, (i + 1) * TIME)]);
    expect(mask()).toEqual(expected.flat());
  });

  it("a masked series can't be repeated along its time", async () => {
    const inputs = [{ shape: [TIME, 3] }, { shape: [1, 3], mask: new Float32Array(BATCH).fill(1) }];
    await expect(bound("Add", {}, inputs)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

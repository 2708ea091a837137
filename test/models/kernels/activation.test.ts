import { describe, expect, it } from "vitest";
import { builds } from "../../../models/kernels/load.ts";
import { kernelArena } from "./arena.ts";

const [LINEAR, RELU, TANH, SIGMOID, HARD_SIGMOID, RELU6, EXPONENTIAL, HARD_SIGMOID_3] = [
  0, 1, 2, 3, 4, 5, 6, 7,
];

/** Dense near zero and out to where the functions are flat, both signs. 4,003 values: the last vector has a tail. */
const XS = Float32Array.from({ length: 4_003 }, (_, i) => {
  const t = (i - 2_001) / 2_001;
  return Math.sign(t) * (Math.abs(t) < 0.5 ? 10 ** (14 * Math.abs(t) - 7) : 80 * (Math.abs(t) - 0.5) * 2);
});

describe.each(builds())("%s build", (build) => {
  it.each([
    ["tanh", TANH, Math.tanh, 1e-6],
    ["sigmoid", SIGMOID, (x: number) => 1 / (1 + Math.exp(-x)), 1e-6],
    ["relu", RELU, (x: number) => Math.max(0, x), 0],
    ["hard sigmoid", HARD_SIGMOID, (x: number) => Math.min(1, Math.max(0, 0.2 * x + 0.5)), 1e-6],
    ["linear", LINEAR, (x: number) => x, 0],
    ["relu6", RELU6, (x: number) => Math.min(6, Math.max(0, x)), 0],
    ["exponential", EXPONENTIAL, Math.exp, 1e-6],
    // Next to x = -3, what is left of the sum is the rounding of x itself.
    ["hard sigmoid of Keras 3", HARD_SIGMOID_3, (x: number) => Math.min(1, Math.max(0, x / 6 + 0.5)), 1e-5],
  ] as const)(
    "activate - %s is accurate relative to its own size, everywhere",
    async (_, kind, exact, limit) => {
      const { kernels, put, intact } = await kernelArena(undefined, build);
      const x = put(XS);
      kernels.activate(kind, x.address, XS.length);
      let worst = 0;
      XS.forEach((value, i) => {
        const expected = exact(value);
        const error = Math.abs(x.view[i]! - expected);
        worst = Math.max(worst, expected === 0 ? error : error / Math.abs(expected));
      });
      expect(worst).toBeLessThanOrEqual(limit);
      expect(intact()).toBe(true);
    },
  );

  it("activate - stays finite and in range for the largest inputs", async () => {
    const { kernels, put } = await kernelArena(undefined, build);
    for (const kind of [TANH, SIGMOID, HARD_SIGMOID]) {
      const x = put([3e38, -3e38, 1e30, -1e30, 88, -88, 0]);
      kernels.activate(kind, x.address, 7);
      expect(x.view.every((value) => value >= -1 && value <= 1)).toBe(true);
    }
  });

  it.each([
    ["tanh", TANH],
    ["sigmoid", SIGMOID],
    ["relu", RELU],
    ["hard sigmoid", HARD_SIGMOID],
    ["linear", LINEAR],
    ["relu6", RELU6],
    ["hard sigmoid of Keras 3", HARD_SIGMOID_3],
  ] as const)("activateBackward - %s agrees with finite differences", async (_, kind) => {
    const { kernels, put, intact } = await kernelArena(undefined, build);
    const points = Float32Array.from({ length: 27 }, (_, i) => (i - 13) * 0.37 + 0.01);
    const h = 1e-2;
    const [a, up, down] = [0, h, -h].map((shift) => {
      const buffer = put(points.map((x) => x + shift));
      kernels.activate(kind, buffer.address, points.length);
      return buffer;
    });
    const g = put(new Float32Array(points.length).fill(2));
    kernels.activateBackward(kind, a!.address, g.address, points.length);
    points.forEach((_, i) => {
      expect(g.view[i]!).toBeCloseTo((2 * (up!.view[i]! - down!.view[i]!)) / (2 * h), 3);
    });
    expect(intact()).toBe(true);
  });
});

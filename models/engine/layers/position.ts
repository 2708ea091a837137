import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { initializer } from "../initializers.ts";
import { common, parseConfig, sequenceShape } from "./config.ts";
import type { LayerKind } from "./layer.ts";

// Where in the sequence a step is, as channels that a following Add gives to the input: the layers read only its shape.

const Sine = () => z.strictObject({ ...common, max_wavelength: z.number().positive().default(10_000) });

/**
 * Position t in channel c: sin(t / w^(2 floor(c/2) / C)) where c is even, the cosine where it is odd, w = max_wavelength. As KerasNLP has it.
 * Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.5.
 */
export const sinePositionEncoding: LayerKind = (layer) => {
  const { max_wavelength: wavelength } = parseConfig(Sine, layer);
  const [T, C] = sequenceShape(layer);
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: [T, C],
    weights: [],
    flops: 0,
    stateFloats: null,
    bind({ kernels, allocate, inputs, output }) {
      const input = inputs[0]!;
      const table = allocate(T * C);
      let filled = false; // only now does the memory no longer grow
      return {
        forward(batch) {
          if (!filled) fillSines(new Float32Array(kernels.memory.buffer, table, T * C), C, wavelength);
          filled = true;
          kernels.repeat(table, output.value, T * C, batch);
        },
        backward(batch) {
          if (input.gradient !== 0) kernels.clear(input.gradient, batch * T * C);
        },
      };
    },
  };
};

function fillSines(out: Float32Array, channels: number, wavelength: number): void {
  for (let i = 0; i < out.length; i++) {
    const [t, c] = [Math.floor(i / channels), i % channels];
    const angle = t / wavelength ** ((2 * Math.floor(c / 2)) / channels);
    out[i] = c % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  }
}

const Learned = () =>
  z.strictObject({
    ...common,
    sequence_length: z.int().positive().max(65_536),
    initializer: initializer("glorot_uniform"),
  });

/** A learned row for each position; the first of them where the sequence is shorter. As KerasNLP has it. */
export const positionEmbedding: LayerKind = (layer) => {
  const { sequence_length: length, initializer: initialize } = parseConfig(Learned, layer);
  const [T, C] = sequenceShape(layer);
  if (T > length)
    throw new FleetError(
      "BAD_INPUT",
      `layer "${layer.name}" (${layer.className}) has ${length} positions, but gets ${T} steps; raise sequence_length`,
    );
  return {
    name: layer.name,
    className: layer.className,
    order: "batch",
    outputShape: [T, C],
    weights: [{ name: "embeddings", shape: [length, C], initialize }],
    flops: 0,
    stateFloats: null,
    bind({ kernels, inputs, output, weights: [w = 0], weightGradients: [dw = 0] }) {
      const input = inputs[0]!;
      return {
        forward(batch) {
          kernels.repeat(w, output.value, T * C, batch);
        },
        backward(batch) {
          kernels.columnSums(output.gradient, T * C, batch, T * C, dw);
          if (input.gradient !== 0) kernels.clear(input.gradient, batch * T * C);
        },
      };
    },
  };
};

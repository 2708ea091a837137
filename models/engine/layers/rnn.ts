import { z } from "zod";
import { FleetError } from "../../../protocol/errors.ts";
import { parseConfig } from "./config.ts";
import { gru } from "./gru.ts";
import type { LayerKind } from "./layer.ts";
import { lstm } from "./lstm.ts";
import { inside, Nested } from "./nested.ts";
import { simpleRnn } from "./simple-rnn.ts";

const CELLS: Readonly<Record<string, LayerKind>> = { GRUCell: gru, LSTMCell: lstm, SimpleRNNCell: simpleRnn };

// What else stands here is read with the cell's own options, strictly.
const Config = () => z.looseObject({ cell: Nested });

/** RNN(cell): the recurrent layer of that cell, under the outer layer's name. */
export const rnn: LayerKind = (layer) => {
  const { cell, ...sequence } = parseConfig(Config, layer);
  const kind = CELLS[cell.class_name];
  if (kind === undefined)
    throw new FleetError(
      "UNSUPPORTED",
      `layer "${layer.name}" (RNN): the engine has no ${cell.class_name}; it has ${Object.keys(CELLS).join(", ")}, and several cells as layers one after the other`,
    );
  const { config } = inside(layer, cell, { name: layer.name });
  return kind({ ...layer, config: { ...sequence, ...(config as object), name: layer.name } });
};

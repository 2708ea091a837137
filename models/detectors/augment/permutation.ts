import type { Random } from "../../engine/random.ts";

/**
 * Cuts a window into pieces of about the same length and puts them together in another order, in place. Of input and target alike. Gives the rows at which another
 * piece begins than the one that followed, in a list that ends with -1: no past foretells such a row, so whoever forecasts leaves it out. A window of
 * fewer than two rows a piece has fewer pieces. Source: Um et al. 2017, arXiv 1706.00527, table 1 ("Permutation", of 4).
 */
export function permutation(
  random: Random,
  most: number,
  { rows: count, channels }: { readonly rows: number; readonly channels: number },
): (rows: Float32Array) => Int32Array {
  const pieces = Math.min(most, Math.floor(count / 2));
  const before = new Float32Array(count * channels);
  const cuts = new Int32Array(pieces + 1);
  const order = new Uint32Array(pieces);
  const seams = new Int32Array(pieces + 1);
  return (rows) => {
    seams[0] = -1;
    if (pieces < 2) return seams;
    for (let k = 1; k < pieces; k++)
      cuts[k] = Math.floor((count * (k + 0.5 * (random.uniform() - 0.5))) / pieces);
    cuts[pieces] = count;
    for (let k = 0; k < pieces; k++) order[k] = k;
    random.shuffle(order);
    before.set(rows);
    let at = 0;
    let found = 0;
    for (let k = 0; k < pieces; k++) {
      const piece = order[k]!;
      if (k > 0 && piece !== order[k - 1]! + 1) seams[found++] = at;
      const [from, to] = [cuts[piece]!, cuts[piece + 1]!];
      for (let i = from * channels; i < to * channels; i++)
        rows[at * channels + i - from * channels] = before[i]!;
      at += to - from;
    }
    seams[found] = -1;
    return seams;
  };
}

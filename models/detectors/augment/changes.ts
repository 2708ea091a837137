import type { AugmentSpec } from "../../../protocol/task.ts";
import type { Random } from "../../engine/random.ts";
import type { Change, Changed, ChangeOptions } from "./change.ts";
import { cutout } from "./cutout.ts";
import { jitter } from "./jitter.ts";
import { type MaskingOptions, masking } from "./masking.ts";
import { mixup } from "./mixup.ts";
import { permutation } from "./permutation.ts";
import { scaling } from "./scaling.ts";
import { timeWarp } from "./time-warp.ts";

/** What is hidden in pretraining, whatever the augmentation hides. Source: Zerveas et al. 2021, arXiv 2010.02803, section 3.2: r = 0.15, l_m = 3. */
const PRETEXT = { share: 0.15, rows: 3 };

/**
 * All that a fit changes in its samples, one after the other: first what input and target share (scaling, warp, permutation, mixup), then what the input alone
 * suffers (jitter, masking). Buffers are made once.
 */
export function openChanges(
  random: Random,
  {
    jitter: noise = 0,
    scaling: factor = 0,
    masking: share = 0,
    warp = 0,
    mixup: alpha = 0,
    ...more
  }: AugmentSpec,
  { rows, channels, image, forecasts, pretext }: ChangeOptions,
): Change {
  const size = rows * channels;
  const wanted = new Float32Array(size);
  const seen = new Float32Array(size);
  const hidden = new Uint8Array(size);
  const fill = forecasts ? "before" : "zero";
  const scale = factor > 0 ? scaling(random, factor, channels) : undefined;
  const bend = warp > 0 ? timeWarp(random, warp, { rows, channels }) : undefined;
  const permute =
    (more.permutation ?? 0) > 1 ? permutation(random, more.permutation!, { rows, channels }) : undefined;
  const mix = alpha > 0 ? mixup(random, alpha) : undefined;
  const disturb = noise > 0 ? jitter(random, noise) : undefined;
  const hides = (options: Pick<MaskingOptions, "share" | "rows">) =>
    masking(random, { ...options, channels, fill });
  let hide: ((seen: Float32Array, hidden: Uint8Array) => void) | undefined;
  if (pretext) hide = hides(PRETEXT);
  else if (share > 0)
    hide = image ? cutout(random, share, image) : hides({ share, rows: more.maskRows ?? 1 });
  const changed = { seen, wanted, other: 0, own: 1 };
  return (index, count, rowsOf): Changed => {
    wanted.set(rowsOf(index));
    scale?.(wanted);
    bend?.(wanted);
    const seams = permute?.(wanted);
    if (mix) {
      changed.other = random.integer(count);
      changed.own = mix(wanted, rowsOf(changed.other));
    }
    seen.set(wanted);
    disturb?.(seen);
    hide?.(seen, hidden);
    if (forecasts && seams)
      for (let k = 0; seams[k]! >= 0; k++)
        wanted.fill(Number.NaN, seams[k]! * channels, (seams[k]! + 1) * channels);
    if (pretext && !forecasts) for (let i = 0; i < size; i++) if (hidden[i] === 0) wanted[i] = Number.NaN;
    return changed;
  };
}

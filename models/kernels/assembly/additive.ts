import { tanh4 } from "./math";
import { sum4 } from "./softmax";
import { at, ld, splat, st } from "./vector";

// The scores of additive attention: y[t,s] = sum over c of g[c] tanh(q[t,c] + k[s,c]), for each sample by itself.
// Source: Bahdanau et al. 2015, arXiv 1409.0473, as Keras has it: without products of its own before the tanh.

/** q (batch,T,K), k (batch,S,K), g (K) or 0 for ones -> y (batch,T,S). */
export function additiveScores(q: usize, k: usize, g: usize, y: usize, batch: i32, t: i32, s: i32, K: i32): void {
  for (let b = 0; b < batch; b++, k += at(s * K)) {
    for (let i = 0; i < t; i++, q += at(K)) {
      let key = k;
      for (let j = 0; j < s; j++, key += at(K), y += 4) {
        let sum = splat(0);
        for (let c = 0; c < K; c += 4) {
          const n = min(4, K - c);
          const h = tanh4(f32x4.add(ld(q + at(c), n), ld(key + at(c), n))); // 0 in the lanes that are missing
          sum = f32x4.add(sum, g ? f32x4.mul(h, ld(g + at(c), n)) : h);
        }
        store<f32>(y, sum4(sum));
      }
    }
  }
}

/** dq (batch,T,K), dk (batch,S,K) = ; dg (K) or 0 += . The tanh is computed again. */
export function additiveScoresBackward(
  q: usize, k: usize, g: usize, dy: usize, dq: usize, dk: usize, dg: usize, batch: i32, t: i32, s: i32, K: i32,
): void {
  memory.fill(dq, 0, at(batch * t * K));
  memory.fill(dk, 0, at(batch * s * K));
  for (let b = 0; b < batch; b++, k += at(s * K), dk += at(s * K)) {
    for (let i = 0; i < t; i++, q += at(K), dq += at(K)) {
      let key = k;
      let dkey = dk;
      for (let j = 0; j < s; j++, key += at(K), dkey += at(K), dy += 4) {
        const d = splat(load<f32>(dy));
        for (let c = 0; c < K; c += 4) {
          const n = min(4, K - c);
          const o = at(c);
          const h = tanh4(f32x4.add(ld(q + o, n), ld(key + o, n)));
          let slope = f32x4.mul(d, f32x4.sub(splat(1), f32x4.mul(h, h)));
          if (g) slope = f32x4.mul(slope, ld(g + o, n));
          st(dq + o, f32x4.add(ld(dq + o, n), slope), n);
          st(dkey + o, f32x4.add(ld(dkey + o, n), slope), n);
          if (dg) st(dg + o, f32x4.add(ld(dg + o, n), f32x4.mul(d, h)), n);
        }
      }
    }
  }
}

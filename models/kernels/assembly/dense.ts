import { activate, activateBackward } from "./activation";
import { gemm, gemv } from "./gemm";
import { columnSums } from "./tensor";
import { at } from "./vector";

/** y (rows,N) = f(x (rows,K) w (K,N) + b (N)); b may be 0 (none). */
export function denseForward(x: usize, w: usize, b: usize, y: usize, rows: i32, k: i32, n: i32, act: i32): void {
  if (rows == 1) {
    if (b) memory.copy(y, b, at(n));
    else memory.fill(y, 0, at(n));
    gemv(x, w, n, y, k, n);
  } else gemm(false, false, rows, n, k, x, k, w, n, y, n, false, b);
  activate(act, y, rows * n);
}

/** dw, db += ; dx (or 0) = . dy is turned in place into the gradient before the activation. */
export function denseBackward(
  x: usize, w: usize, y: usize, dy: usize, dx: usize, dw: usize, db: usize,
  rows: i32, k: i32, n: i32, act: i32,
): void {
  activateBackward(act, y, dy, rows * n);
  gemm(true, false, k, n, rows, x, k, dy, n, dw, n, true, 0);
  if (db) columnSums(dy, n, rows, n, db);
  if (dx) gemm(false, true, rows, k, n, dy, n, w, n, dx, k, false, 0);
}

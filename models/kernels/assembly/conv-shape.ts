/**
 * A convolution's sizes, as 14 integers in the caller's memory. It reads images (h,w,c) and writes (oh,ow,n): output (y,x) looks at rows
 * y sh - top + i dh and columns x sw - left + j dw, for i < kh and j < kw; what lies outside the image is zero.
 * A series is an image of one row.
 */
@unmanaged
export class ConvShape {
  h: i32;
  w: i32;
  c: i32;
  oh: i32;
  ow: i32;
  n: i32;
  kh: i32;
  kw: i32;
  sh: i32;
  sw: i32;
  dh: i32;
  dw: i32;
  top: i32;
  left: i32;
}

/** Writes a ConvShape to `p`. */
export function convShape(
  p: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, n: i32,
  kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32, top: i32, left: i32,
): void {
  const s = changetype<ConvShape>(p);
  s.h = h;
  s.w = w;
  s.c = c;
  s.oh = oh;
  s.ow = ow;
  s.n = n;
  s.kh = kh;
  s.kw = kw;
  s.sh = sh;
  s.sw = sw;
  s.dh = dh;
  s.dw = dw;
  s.top = top;
  s.left = left;
}

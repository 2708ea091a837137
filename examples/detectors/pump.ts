/** Rows of a pump's temperature, pressure and flow, one a second, from row `from` on; `fault` adds to the pressure in rows 300..339 of them. */
export function pump(
  rows: number,
  { seed, from = 0, fault = 0 }: { seed: number; from?: number; fault?: number },
): number[][] {
  let state = seed;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Array.from({ length: rows }, (_, row) => {
    const load = Math.sin((from + row) / 9);
    return [
      60 + 4 * Math.sin((from + row) / 40) + noise(),
      5 + 0.4 * load + 0.1 * noise() + (row >= 300 && row < 340 ? fault : 0),
      120 + 15 * load + 4 * noise(),
    ];
  });
}

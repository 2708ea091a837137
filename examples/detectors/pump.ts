/** Rows of a pump's temperature, pressure and flow, one a second; `fault` adds to the pressure in rows 300..339. */
export function pump(rows: number, { seed, fault = 0 }: { seed: number; fault?: number }): number[][] {
  let state = seed;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Array.from({ length: rows }, (_, row) => {
    const load = Math.sin(row / 9);
    return [
      60 + 4 * Math.sin(row / 40) + noise(),
      5 + 0.4 * load + 0.1 * noise() + (row >= 300 && row < 340 ? fault : 0),
      120 + 15 * load + 4 * noise(),
    ];
  });
}

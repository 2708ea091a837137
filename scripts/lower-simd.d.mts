export function lowerSimd(wasm: Uint8Array): Uint8Array;

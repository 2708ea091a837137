import type binaryen from "assemblyscript/binaryen";

export function operationsOf(
  m: binaryen.Module,
): Readonly<Record<string, { readonly makes: string; readonly takes: string }>>;

import binaryen from "assemblyscript/binaryen";
import { assignment, describe, eachStatement, localOf } from "./flat.mjs";
import { KINDS } from "./operations.mjs";

/** How each vector local is held, by what most operations want of it and of all that it is copied from and to. */
export function kindsOfLocals(operations, info) {
  const params = binaryen.expandType(info.params);
  const types = [...params, ...info.vars];
  const parent = types.map((_, local) => local);
  const root = (local) => {
    if (parent[local] !== local) parent[local] = root(parent[local]);
    return parent[local];
  };
  const votes = types.map((_, local) => ({
    f: local < params.length ? Number.POSITIVE_INFINITY : 0,
    i: 0,
    d: 0,
  }));
  const vote = (local, kind, weight) => {
    if (kind in KINDS) votes[root(local)][kind] += weight;
  };
  const join = (a, b) => {
    const [from, to] = [root(a), root(b)];
    if (from === to) return;
    parent[from] = to;
    for (const kind of Object.keys(KINDS)) votes[to][kind] += votes[from][kind];
  };
  eachStatement(info.body, 1, (statement, weight) => {
    const { target, value } = assignment(statement);
    const made = types[target] === binaryen.v128 ? target : undefined;
    const operation = describe(operations, value);
    // What is passed and returned is f32.
    if (!operation && made !== undefined) vote(made, "f", Number.POSITIVE_INFINITY);
    if (!operation) return;
    if (made !== undefined) vote(made, operation.makes, weight);
    for (const [k, vector] of operation.vectors.entries()) {
      const local = localOf(vector);
      if (local === undefined) continue;
      vote(local, operation.takes[k], weight);
      if (operation.takes[k] === "a" && made !== undefined) join(local, made);
    }
  });
  return new Map(
    [...types.keys()]
      .filter((local) => types[local] === binaryen.v128)
      .map((local) => {
        const { f, i, d } = votes[root(local)];
        return [local, d > Math.max(f, i) ? "d" : i > f ? "i" : "f"];
      }),
  );
}

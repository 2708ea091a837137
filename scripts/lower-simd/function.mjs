// One function of flat code without its vectors.
import binaryen from "assemblyscript/binaryen";
import { assignment, describe, isVector, localOf } from "./flat.mjs";
import { kindsOfLocals } from "./kinds.mjs";
import { KINDS } from "./operations.mjs";

/** Lane 0 of the k-th vector that a function takes, or of what it returns, stands in its place; the others in globals. */
const passed = (k, lane) => `vector${k}.lane${lane}`;
const MAX_PASSED = 4;

export function addPassedLanes(m) {
  for (let k = 0; k < MAX_PASSED; k++) {
    for (const lane of [1, 2, 3]) m.addGlobal(passed(k, lane), binaryen.f32, true, m.f32.const(0));
  }
}

/** Puts a function without vectors in the place of the one that `info` describes. */
export function lowerFunction(m, operations, info) {
  const params = binaryen.expandType(info.params);
  const types = [...params, ...info.vars];
  if (![info.results, ...types].includes(binaryen.v128)) return;
  const kinds = kindsOfLocals(operations, info);
  // Lane 0 keeps the vector's local, so that no other local changes its number; the other lanes follow after all.
  const newTypes = types.map((type, local) => (kinds.has(local) ? KINDS[kinds.get(local)].type : type));
  const addLanes = (first, kind) => {
    const { count, type } = KINDS[kind];
    return [first, ...Array.from({ length: count - 1 }, () => newTypes.push(type) - 1)];
  };
  const lanes = new Map([...kinds].map(([local, kind]) => [local, addLanes(local, kind)]));
  const temporaries = Object.fromEntries(
    Object.entries(KINDS).map(([kind, { type }]) => [kind, addLanes(newTypes.push(type) - 1, kind)]),
  );
  const vectorParams = [...params.keys()].filter((local) => kinds.has(local));
  const receive = vectorParams.flatMap((local, k) => receiveLanes(local, k));
  const result = info.results === binaryen.v128 ? binaryen.f32 : info.results;
  const body = m.block(null, [...receive, lower(info.body)], result);
  m.removeFunction(info.name);
  const signature = binaryen.createType(newTypes.slice(0, params.length));
  m.addFunction(info.name, signature, result, newTypes.slice(params.length), body);

  function lower(statement) {
    const node = binaryen.getExpressionInfo(statement);
    if (node.id === binaryen.BlockId) return m.block(node.name, node.children.map(lower), node.type);
    if (node.id === binaryen.LoopId) return m.loop(node.name, lower(node.body));
    if (node.id === binaryen.IfId) {
      return m.if(node.condition, lower(node.ifTrue), node.ifFalse ? lower(node.ifFalse) : undefined);
    }
    if (node.id === binaryen.ReturnId && isVector(node.value)) {
      const [first, ...others] = read(node.value, "f");
      return m.block(null, [...passLanes(others, 0), m.return(first())]);
    }
    const { target, value } = assignment(statement);
    const operation = describe(operations, value);
    if (operation) return lowerOperation(operation, target);
    return lowerCall(binaryen.getExpressionInfo(value), target) ?? statement;
  }

  function lowerOperation({ makes, takes, vectors, acrossLanes, lanes: lanesOf, details }, target) {
    // "any" is what the target is; for a store, what the stored vector is.
    const local = kinds.has(target) ? target : vectors.map(localOf).find((vector) => vector !== undefined);
    const any = kinds.get(local) === "i" || kinds.get(local) === "d" ? "i" : "f";
    const operands = vectors.map((vector, k) => read(vector, takes[k] === "a" ? any : takes[k]));
    const made = makes === "any" ? any : makes;
    const results = lanesOf(operands, details(m), any);
    if (made === "nothing") return m.block(null, results);
    if (target === undefined) return m.nop(); // dropped: what makes something does nothing else
    if (made === "scalar") return m.local.set(target, results[0]);
    const overwrites = acrossLanes && vectors.some((vector) => localOf(vector) === target);
    if (!overwrites && made === kinds.get(target)) return assign(target, results);
    const kept = temporaries[made];
    return m.block(null, [
      ...results.map((lane, k) => m.local.set(kept[k], lane)),
      assign(
        target,
        convert(m, readLocals(kept, made), made, kinds.get(target)).map((lane) => lane()),
      ),
    ]);
  }

  function lowerCall(call, target) {
    if (
      call.id !== binaryen.CallId ||
      ![call.type, ...call.operands.map(binaryen.getExpressionType)].includes(binaryen.v128)
    ) {
      return undefined;
    }
    const vectors = call.operands.filter(isVector);
    const pass = vectors.flatMap((vector, k) => passLanes(read(vector, "f").slice(1), k));
    const operands = call.operands.map((operand) => (isVector(operand) ? read(operand, "f")[0]() : operand));
    const lowered = m.call(call.target, operands, call.type === binaryen.v128 ? binaryen.f32 : call.type);
    if (target !== undefined) {
      return m.block(null, [
        ...pass,
        m.local.set(target, lowered),
        ...(kinds.has(target) ? receiveLanes(target, 0) : []),
      ]);
    }
    return m.block(null, [...pass, call.type === binaryen.none ? lowered : m.drop(lowered)]);
  }

  function passLanes(others, k) {
    if (k >= MAX_PASSED) throw new Error(`function ${info.name} passes more than ${MAX_PASSED} vectors`);
    return others.map((lane, at) => m.global.set(passed(k, at + 1), lane()));
  }

  function receiveLanes(local, k) {
    return [1, 2, 3].map((lane) =>
      m.local.set(lanes.get(local)[lane], m.global.get(passed(k, lane), binaryen.f32)),
    );
  }

  function assign(target, values) {
    return m.block(
      null,
      values.map((value, k) => m.local.set(lanes.get(target)[k], value)),
    );
  }

  function readLocals(locals, kind) {
    return locals.map((local) => () => m.local.get(local, KINDS[kind].type));
  }

  /** A function for each lane of a vector operand, that reads it as `kind`. */
  function read(vector, kind) {
    const local = localOf(vector);
    if (local !== undefined)
      return convert(m, readLocals(lanes.get(local), kinds.get(local)), kinds.get(local), kind);
    const bytes = new DataView(Uint8Array.from(binaryen.getExpressionInfo(vector).value).buffer);
    const words = [0, 4, 8, 12].map((at) => () => m.i32.const(bytes.getInt32(at, true)));
    return convert(m, words, "i", kind);
  }
}

/** The same bits as another kind. */
function convert(m, lanes, from, to) {
  if (from === to) return lanes;
  if (from === "f")
    return convert(
      m,
      lanes.map((lane) => () => m.i32.reinterpret(lane())),
      "i",
      to,
    );
  if (to === "f") return convert(m, lanes, from, "i").map((lane) => () => m.f32.reinterpret(lane()));
  const shift = () => m.i64.extend_u(m.i32.const(32));
  if (from === "d") {
    return [0, 1, 2, 3].map((k) => () => {
      const both = m.i64.reinterpret(lanes[k >> 1]());
      return m.i32.wrap(k % 2 === 0 ? both : m.i64.shr_u(both, shift()));
    });
  }
  return [0, 2].map((k) => () => {
    const [low, high] = [lanes[k](), lanes[k + 1]()].map((lane) => m.i64.extend_u(lane));
    return m.f64.reinterpret(m.i64.or(low, m.i64.shl(high, shift())));
  });
}

// Reads Binaryen's flat code: its statements, and what each does with vectors.
import binaryen from "assemblyscript/binaryen";

/** An operation in a loop counts as this many outside of it. */
const LOOP_WEIGHT = 8;

/** Calls `see` with each statement that is not made of others, and a weight that grows with the loops around it. */
export function eachStatement(statement, weight, see) {
  const node = binaryen.getExpressionInfo(statement);
  if (node.id === binaryen.BlockId) for (const child of node.children) eachStatement(child, weight, see);
  else if (node.id === binaryen.LoopId) eachStatement(node.body, weight * LOOP_WEIGHT, see);
  else if (node.id === binaryen.IfId) {
    eachStatement(node.ifTrue, weight, see);
    if (node.ifFalse) eachStatement(node.ifFalse, weight, see);
  } else see(statement, weight);
}

/** The expression of a statement that may work on vectors, and the local that it sets, if any. */
export function assignment(statement) {
  const node = binaryen.getExpressionInfo(statement);
  if (node.id === binaryen.LocalSetId) return { target: node.index, value: node.value };
  return { target: undefined, value: node.id === binaryen.DropId ? node.value : statement };
}

export const isVector = (expression) =>
  expression !== 0 && binaryen.getExpressionType(expression) === binaryen.v128;

/** The local that a flat operand reads; undefined: it is a constant. */
export function localOf(operand) {
  const node = binaryen.getExpressionInfo(operand);
  return node.id === binaryen.LocalGetId ? node.index : undefined;
}

/** Where Binaryen keeps an operation's operands, in their order. */
const OPERANDS = ["ifTrue", "ifFalse", "left", "right", "vec", "a", "b", "c", "value"];

/** What an expression does with vectors, or undefined where it has none or only passes them on. Throws where it is not known. */
export function describe(operations, expression) {
  const node = binaryen.getExpressionInfo(expression);
  if ([binaryen.CallId, binaryen.ReturnId].includes(node.id) || node.type === binaryen.unreachable)
    return undefined;
  if ([binaryen.LocalGetId, binaryen.ConstId].includes(node.id)) {
    return isVector(expression)
      ? { ...operations.copy, vectors: [expression], details: () => ({}) }
      : undefined;
  }
  const vectors = OPERANDS.map((field) => node[field]).filter(
    (operand) => operand !== undefined && isVector(operand),
  );
  if (vectors.length === 0 && node.type !== binaryen.v128) return undefined;
  const [, name] = /^\(([\w.]+)/.exec(binaryen.emitText(expression));
  const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
  if (!operation)
    throw new Error(`scripts/lower-simd/operations.mjs has no ${name}; add what it does to each lane`);
  const scalar = node.condition ?? node.shift ?? node.value;
  const details = (m) => ({
    index: node.index,
    mask: node.mask,
    scalar: () => m.copyExpression(scalar),
    access: (offset) => ({ offset: node.offset + offset, address: m.copyExpression(node.ptr) }),
  });
  return { ...operation, vectors, details };
}

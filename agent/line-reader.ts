/** A line of input by its number, or the mark of one that was longer than allowed. */
export type Line =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly tooLong: true };

/** Cuts chunks of UTF-8 into lines. Never holds more than `maxBytes` of a line that has not ended. */
export interface LineReader {
  push(chunk: Uint8Array): Line[];
  /** The last line, where the input does not end in a line feed. */
  end(): Line[];
}

export function lineReader(maxBytes: number): LineReader {
  let number = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let skipping = false;
  const finish = (): Line => {
    number += 1;
    const line: Line = skipping
      ? { number, tooLong: true }
      : { number, text: Buffer.concat(held).toString("utf8").trim() };
    held = [];
    heldBytes = 0;
    skipping = false;
    return line;
  };
  const hold = (part: Uint8Array) => {
    heldBytes += part.length;
    if (heldBytes > maxBytes) {
      skipping = true;
      held = [];
    } else if (part.length > 0) held.push(part);
  };
  return {
    push(chunk) {
      const lines: Line[] = [];
      let from = 0;
      for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, from)) {
        hold(chunk.subarray(from, at));
        lines.push(finish());
        from = at + 1;
      }
      hold(chunk.subarray(from));
      return lines;
    },
    end: () => (heldBytes > 0 ? [finish()] : []),
  };
}

const lineFeed = 0x0a;

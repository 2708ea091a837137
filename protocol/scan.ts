import { FleetError } from "./errors.ts";

export interface ScanLimits {
  readonly maxItems: number;
  readonly maxDepth: number;
  readonly maxValues: number;
}

/**
 * Walks one msgpack value without building it and refuses what a decoder should never see: containers nested too deep or declared too
 * long, too many values, extension types, a value that ends after the bytes do, and bytes after the value.
 *
 * Source: the msgpack specification, "Formats" (first byte -> kind and length). Costs one pass and no memory but the stack of open
 * containers, at most `maxDepth` numbers.
 */
export function scan(bytes: Uint8Array, { maxItems, maxDepth, maxValues }: ScanLimits): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: number[] = []; // values still to come in each open container
  let at = 0;
  let values = 0;

  const length = (size: 1 | 2 | 4): number => {
    if (at + size > bytes.length) throw truncated();
    const n = size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at) : view.getUint32(at);
    at += size;
    return n;
  };
  const skip = (n: number): void => {
    at += n;
    if (at > bytes.length) throw truncated();
  };
  const enter = (items: number, valuesPerItem: 1 | 2): void => {
    if (items > maxItems)
      throw new FleetError(
        "TOO_LARGE",
        `an array or map of ${items} entries is over the limit of ${maxItems}`,
      );
    if (items === 0) return;
    if (open.length >= maxDepth)
      throw new FleetError("TOO_LARGE", `containers are nested deeper than ${maxDepth}`);
    open.push(items * valuesPerItem);
  };

  do {
    while (open.length > 0 && open[open.length - 1] === 0) open.pop();
    if (open.length > 0) open[open.length - 1]! -= 1;
    if (++values > maxValues)
      throw new FleetError("TOO_LARGE", `the message holds more than ${maxValues} values`);
    if (at >= bytes.length) throw truncated();
    const head = view.getUint8(at++);

    if (head <= 0x7f || head >= 0xe0) continue; // fixint
    if (head <= 0x8f)
      enter(head & 0x0f, 2); // fixmap
    else if (head <= 0x9f)
      enter(head & 0x0f, 1); // fixarray
    else if (head <= 0xbf)
      skip(head & 0x1f); // fixstr
    else {
      switch (head) {
        case 0xc0: // nil, false, true
        case 0xc2:
        case 0xc3:
          break;
        case 0xc4: // bin and str, by the width of their length
        case 0xd9:
          skip(length(1));
          break;
        case 0xc5:
        case 0xda:
          skip(length(2));
          break;
        case 0xc6:
        case 0xdb:
          skip(length(4));
          break;
        case 0xcc: // uint8, int8
        case 0xd0:
          skip(1);
          break;
        case 0xcd: // uint16, int16
        case 0xd1:
          skip(2);
          break;
        case 0xca: // float32, uint32, int32
        case 0xce:
        case 0xd2:
          skip(4);
          break;
        case 0xcb: // float64, uint64, int64
        case 0xcf:
        case 0xd3:
          skip(8);
          break;
        case 0xdc:
          enter(length(2), 1);
          break;
        case 0xdd:
          enter(length(4), 1);
          break;
        case 0xde:
          enter(length(2), 2);
          break;
        case 0xdf:
          enter(length(4), 2);
          break;
        default: // 0xc1 (never used) and the extension types, of which the protocol has none
          throw new FleetError(
            "BAD_MESSAGE",
            `msgpack type 0x${head.toString(16)} is not part of the protocol`,
          );
      }
    }
  } while (open.some((left) => left > 0));

  if (at !== bytes.length)
    throw new FleetError("BAD_MESSAGE", `${bytes.length - at} bytes follow the message`);
}

function truncated(): FleetError {
  return new FleetError("BAD_MESSAGE", "the message ends too early");
}

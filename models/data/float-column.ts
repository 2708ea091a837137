/** A growing list of float32 in blocks: no copy while it grows, 4 bytes a value, one copy at the end. */
export class FloatColumn {
  readonly #blocks: Float32Array[] = [];
  readonly #maxValues: number;
  readonly #tooMany: () => Error;
  #block = new Float32Array(0);
  #used = 0;
  #length = 0;

  constructor(maxValues: number, tooMany: () => Error) {
    this.#maxValues = maxValues;
    this.#tooMany = tooMany;
  }

  push(value: number): void {
    if (this.#used === this.#block.length) {
      if (this.#length >= this.#maxValues) throw this.#tooMany();
      this.#block = new Float32Array(BLOCK_VALUES);
      this.#blocks.push(this.#block);
      this.#used = 0;
    }
    this.#block[this.#used++] = value;
    this.#length++;
  }

  finish(): Float32Array {
    const all = new Float32Array(this.#length);
    for (let i = 0, at = 0; i < this.#blocks.length; i++, at += BLOCK_VALUES) {
      all.set(this.#blocks[i]!.subarray(0, Math.min(BLOCK_VALUES, this.#length - at)), at);
    }
    return all;
  }
}

const BLOCK_VALUES = 65_536;

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { exportKeras, importKeras } from "../../../models/engine/files/index.ts";
import { compile } from "../../../models/engine/index.ts";
import { layer, sequential } from "./support.ts";

vi.mock("h5wasm", () => {
  throw new Error("Cannot find package");
});

it("where h5wasm is not installed, Keras files are refused with the command that installs it", async () => {
  const refusal = expect.objectContaining({
    code: "UNAVAILABLE",
    message: expect.stringContaining("npm install h5wasm"),
  });
  const folder = join(import.meta.dirname, "../../fixtures/keras");
  for (const name of ["nested.keras", "nested.h5"])
    await expect(importKeras(await readFile(join(folder, name)))).rejects.toThrow(refusal);
  const model = await compile(sequential([2], layer("Dense", { units: 1 })), { seed: 1 });
  await expect(exportKeras(model)).rejects.toThrow(refusal);
});

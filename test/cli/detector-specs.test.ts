import { expect, test } from "vitest";
import { chooseDetectors } from "../../cli/evaluate/detector-specs.ts";
import { DetectorSpec } from "../../protocol/task.ts";

test("evaluate - a classifier is told how many classes the set has, unless an option says it", async () => {
  const of = { kind: "images", classes: 10 } as const;
  const choose = (options: string[], classes: number = of.classes) =>
    chooseDetectors(DetectorSpec.parse({}), {
      names: ["cnn2d-classifier", "cnn2d-rotation"],
      options,
      of: { ...of, classes },
    });
  const optionsOf = async (...options: string[]) =>
    Object.fromEntries((await choose(options)).map(({ spec }) => [spec.name, spec.options]));
  expect(await optionsOf()).toEqual({ "cnn2d-classifier": { classes: 10 }, "cnn2d-rotation": {} });
  expect(await optionsOf("cnn2d-classifier.classes=12")).toMatchObject({
    "cnn2d-classifier": { classes: 12 },
  });
  await expect(choose([], 1)).rejects.toThrow(/cnn2d-classifier learns from classes/);
});

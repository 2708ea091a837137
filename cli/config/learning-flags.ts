import type { Flag } from "../command.ts";

/** `jitter=0.1,mixup=0.2` */
const augmentText: NonNullable<Flag["parse"]> = {
  expected: "NAME=NUMBER, joined by commas, as jitter=0.1,mixup=0.2",
  read(text) {
    const pairs = text.split(",").map((part) => /^\s*(\w+)\s*=\s*(\S+)\s*$/.exec(part));
    const read = pairs.map((pair) => [pair?.[1], Number(pair?.[2] ?? Number.NaN)] as const);
    return read.some(([, value]) => Number.isNaN(value)) ? undefined : Object.fromEntries(read);
  },
  show: (value) =>
    Object.entries(value as object)
      .map(([name, size]) => `${name}=${size}`)
      .join(","),
};

/** `masked:3` */
const pretrainText: NonNullable<Flag["parse"]> = {
  expected: "an objective and rounds, as masked:3 or rotation:3",
  read(text) {
    const match = /^(masked|rotation):(\d+)$/.exec(text);
    return match ? { objective: match[1], rounds: Number(match[2]) } : undefined;
  },
  show(value) {
    const { objective, rounds } = value as { objective: string; rounds: number };
    return `${objective}:${rounds}`;
  },
};

/** Of every command that trains. */
export const learningFlags: readonly Flag[] = [
  {
    path: "task.training.augment",
    flag: "--augment <list>",
    description:
      "change training samples: jitter, scaling, masking, maskRows, warp, permutation, mixup, as jitter=0.1,mixup=0.2",
    parse: augmentText,
  },
  {
    path: "task.pretrain",
    flag: "--pretrain <how>",
    description:
      "the first rounds teach filling in hidden values (masked:3) or how an image was turned (rotation:3)",
    parse: pretrainText,
  },
];

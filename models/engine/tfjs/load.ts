import { FleetError } from "../../../protocol/errors.ts";
import type { Tf } from "./api.ts";

/** An optional dependency: in a variable, so that neither compiler nor bundler looks for it. */
const PACKAGE = "@tensorflow/tfjs-node";

/** Throws UNSUPPORTED where it is not installed, or its native part does not load. */
export async function loadTfjs(): Promise<Tf> {
  try {
    const loaded = (await import(PACKAGE)) as { readonly default?: Tf };
    return loaded.default ?? (loaded as unknown as Tf);
  } catch (cause) {
    throw new FleetError(
      "UNSUPPORTED",
      `engine "tfjs" needs ${PACKAGE}, which does not load here; run \`npm install ${PACKAGE}\`, or use engine "starling"`,
      { cause },
    );
  }
}

import { existsSync } from "node:fs";

/** The repository's root, from the sources or from dist/: the folder of package.json. */
export const root = find(new URL("../../", import.meta.url));

function find(folder: URL): URL {
  return existsSync(new URL("package.json", folder)) ? folder : find(new URL("../", folder));
}

export { loadTfjs } from "./load.ts";
export { compileTf } from "./model.ts";

export { importKeras, loadKeras } from "./keras.ts";
export {
  exportTfjs,
  type ImportOptions,
  importTfjs,
  loadTfjs,
  saveTfjs,
  type TfjsModel,
} from "./tfjs.ts";

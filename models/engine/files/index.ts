export { importKeras, loadKeras } from "./keras.ts";
export { exportOnnx } from "./onnx/export.ts";
export {
  exportTfjs,
  type ImportOptions,
  importTfjs,
  loadTfjs,
  saveTfjs,
  type TfjsModel,
} from "./tfjs.ts";

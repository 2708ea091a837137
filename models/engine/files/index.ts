export { exportKeras, importKeras, loadKeras, saveKeras } from "./keras.ts";
export { exportOnnx } from "./onnx/export.ts";
export {
  exportTfjs,
  type ImportOptions,
  importTfjs,
  loadTfjs,
  saveTfjs,
  type TfjsModel,
} from "./tfjs.ts";

// The engine of a page without a server: models run in the browser, by LiteRT.js.
import { loadAndCompile, loadLiteRt, Tensor } from "./litert/core.js";
import { fail, start } from "./page.js";
import { decode, prepare } from "./pictures.js";

const PADDING = 0, UNKNOWN = 1; // ids of no word
const KINDS = { captioning: "picture", style: "picture", text: "text", transfer: "picture" };
const ARRAYS = { float32: Float32Array, int32: Int32Array };

class Model {
  constructor(described) {
    Object.assign(this, described);
    this.kind = KINDS[this.job];
    this.about = "Answered in this browser: nothing that you give leaves the device.";
    this.ask = this.kind === "text" ? this.askTexts : this.askPicture;
  }

  // The outputs, arrays by name, for one input of the shape that the model takes.
  async run(values) {
    this.loading ??= loadAndCompile(`assets/${this.file}`, { accelerator: "wasm" });
    const model = await this.loading;
    const { name, dtype, shape } = this.input;
    const tensor = new Tensor(ARRAYS[dtype].from(values), shape);
    const given = await model.run("serving_default", { [name]: tensor });
    tensor.delete();
    const outputs = {};
    for (const [output, value] of Object.entries(given)) {
      outputs[output] = await value.data();
      value.delete();
    }
    return outputs;
  }

  askPicture = async (file) => {
    const { shape, preparation } = this.input;
    const outputs = await this.run(prepare(await decode(file), shape[1], preparation));
    if (this.job === "captioning")
      return { caption: this.words(outputs.tokens), score: outputs.score[0] };
    if (this.job === "transfer") return this.classes(outputs.probabilities);
    return { image: await picture(outputs.image, shape[1]) };
  };

  askTexts = async (texts) => {
    const told = [];
    for (const text of texts) {
      const outputs = await this.run(this.ids(text));
      told.push(this.classes(outputs.probabilities));
    }
    return told;
  };

  // Ids of a sentence: words between ASCII white space, cut or padded to the length.
  ids(text) {
    this.index ??= new Map(this.vocabulary.map((word, id) => [word, id]));
    const words = text.split(/[ \t\n\v\f\r]+/).filter((word) => word);
    const ids = words.slice(0, this.max_tokens).map((word) => {
      const id = this.index.get(word) ?? UNKNOWN;
      return id > UNKNOWN ? id : UNKNOWN;
    });
    const length = this.input.shape[1];
    return [...ids.slice(0, length), ...Array(Math.max(0, length - ids.length)).fill(PADDING)];
  }

  // A caption's words, up to its end, special tokens left out.
  words(tokens) {
    const ids = Array.from(tokens);
    const end = ids.indexOf(this.vocabulary.indexOf("<END>"));
    return ids.slice(0, end < 0 ? ids.length : end)
      .filter((id) => id >= this.special).map((id) => this.vocabulary[id]).join(" ");
  }

  classes(probabilities) {
    const values = Array.from(probabilities);
    const shares = values.map((value, n) => value / (this.thresholds?.[n] ?? 1));
    return {
      label: this.labels[shares.indexOf(Math.max(...shares))],
      probabilities: Object.fromEntries(this.labels.map((label, n) => [label, values[n]])),
    };
  }
}

function picture(values, size) {
  const pixels = new ImageData(size, size);
  for (let n = 0; n < size * size; n++) {
    for (let c = 0; c < 3; c++) // a clamped array rounds halves to even, as NumPy does
      pixels.data[4 * n + c] = values[3 * n + c];
    pixels.data[4 * n + 3] = 255;
  }
  const canvas = new OffscreenCanvas(size, size);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

try {
  const models = await (await fetch("assets/models.json")).json();
  // Threads share memory, which a page may do only where it is isolated.
  await loadLiteRt(new URL("litert/wasm/", import.meta.url).href, { threads: crossOriginIsolated });
  start(models.map((described) => new Model(described)));
} catch (error) {
  fail(`The models could not be loaded: ${error.message}`);
}

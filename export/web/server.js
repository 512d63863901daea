// The engine of a server's page: answers come from the server, through its REST paths.
import { fail, start } from "./page.js";

const name = document.body.dataset.model;
const base = `v1/models/${encodeURIComponent(name)}`;
const MOST_TEXTS = 16; // of one request

async function json(response) {
  const text = await response.text();
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    told = { raw: text }; // NaN and Infinity are no JSON that a browser reads
  }
  if (!response.ok) throw new Error(told.error ?? response.statusText);
  return { ...told, raw: text };
}

async function predict(instances) {
  const body = JSON.stringify({ instances });
  return (await json(await fetch(`${base}:predict`, { method: "POST", body }))).predictions;
}

function base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}

function fromBase64(text, type) {
  return new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], { type });
}

// The chosen class alone has a name in the answer.
function classes({ label, probabilities }) {
  return { label, probabilities: { [label]: Math.max(...probabilities) } };
}

async function askPicture(file) {
  const [told] = await predict([{ b64: await base64(file) }]);
  if (typeof told === "object" && "b64" in told) return { image: fromBase64(told.b64, "image/png") };
  return "caption" in told ? told : classes(told);
}

async function askTexts(texts) {
  const rows = [];
  for (let n = 0; n < texts.length; n += MOST_TEXTS)
    rows.push(...(await predict(texts.slice(n, n + MOST_TEXTS))));
  const { label } = rows[0];
  const place = rows[0].probabilities.indexOf(Math.max(...rows[0].probabilities));
  return rows.map((row) => ({
    label: row.label,
    probabilities: { [label]: row.probabilities[place] },
  }));
}

async function askTensors(body) {
  const response = await fetch(`${base}:predict`, { method: "POST", body });
  return { raw: (await json(response)).raw };
}

// A request that the signature takes, as a start.
function example(signature) {
  const sizes = (info) => info.tensor_shape.dim.map(({ size }) => Math.max(1, Number(size)));
  const leaf = { DT_STRING: "", DT_BOOL: false };
  const fill = ([size, ...rest], value) =>
    size === undefined ? value : Array.from({ length: Math.min(size, 64) }, () => fill(rest, value));
  const inputs = Object.entries(signature.inputs)
    .map(([input, info]) => [input, fill(sizes(info), leaf[info.dtype] ?? 0)]);
  return JSON.stringify({ inputs: Object.fromEntries(inputs) });
}

try {
  const { model_spec, metadata } = await json(await fetch(`${base}/metadata`));
  const signature = metadata.signature_def.signature_def.serving_default;
  if (!signature) throw new Error("The model has no signature serving_default.");
  const inputs = Object.keys(signature.inputs).join();
  const outputs = Object.keys(signature.outputs).sort().join();
  const known = { "caption,score": 1, "label,probabilities": 1, image_bytes: 1 }[outputs];
  const about = `Version ${model_spec.version}, answered by this server.`;
  if (known && inputs === "image_bytes") {
    start([{ name, about, kind: "picture", ask: askPicture }]);
  } else if (outputs === "label,probabilities" && inputs === "text") {
    start([{ name, about, kind: "text", ask: askTexts }]);
  } else {
    start([{ name, about, kind: "tensors", ask: askTensors, example: example(signature) }]);
  }
} catch (error) {
  fail(error.message);
}

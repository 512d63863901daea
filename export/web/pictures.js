// Pictures as the models were trained on them: decoded by the browser, then resized exactly
// as Pillow does (bilinear, widened to antialias, in fixed-point numbers of 22 bits).

const BITS = 22;
const LONGEST = 20; // a side, in units of the other

// RGB bytes of a picture file; EXIF orientation applied, transparent pixels over white.
export async function decode(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("The browser cannot read this file as a picture.");
  }
  const { width, height } = bitmap;
  if (Math.max(width, height) > LONGEST * Math.min(width, height))
    throw new Error(`The picture's sides, ${width} x ${height}, are too unequal.`);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    pixels[to++] = data[from];
    pixels[to++] = data[from + 1];
    pixels[to++] = data[from + 2];
  }
  return { pixels, width, height };
}

// The square input of a network, a Float32Array of size x size x 3, from 0 to 255.
// `how` is "squash" (the whole picture) or "crop" (its middle, 224 of 256 of the shorter
// side); the longer side is resized first, as in Python.
export function prepare({ pixels, width, height }, size, how) {
  const [left, top, right, bottom] = box(height, width, size, how);
  let done = pixels;
  if (height > width) {
    done = resample(done, 1, width * 3, height, top, bottom, size);
    done = resample(done, size, 3, width, left, right, size);
  } else {
    done = resample(done, height, 3, width, left, right, size);
    done = resample(done, 1, size * 3, height, top, bottom, size);
  }
  return Float32Array.from(done);
}

function box(height, width, size, how) {
  if (how === "squash") return [0, 0, width, height];
  const side = roundHalfEven((size * 256) / 224);
  const shorter = Math.min(height, width);
  const resizedHeight = Math.floor((side * height) / shorter);
  const resizedWidth = Math.floor((side * width) / shorter);
  const top = Math.floor((resizedHeight - size) / 2);
  const left = Math.floor((resizedWidth - size) / 2);
  return [
    (left * width) / resizedWidth,
    (top * height) / resizedHeight,
    ((left + size) * width) / resizedWidth,
    ((top + size) * height) / resizedHeight,
  ];
}

// Resamples one axis of an array (outer, length, inner) from [start, end) to `size`.
export function resample(data, outer, inner, length, start, end, size) {
  const [from, to] = [Math.fround(start), Math.fround(end)]; // C's float, in Pillow
  const scale = Math.fround(to - from) / size;
  const support = Math.max(scale, 1);
  const done = new Uint8Array(outer * size * inner);
  for (let at = 0; at < size; at++) {
    const center = from + (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(length, Math.trunc(center + support + 0.5));
    const weights = new Float64Array(last - first);
    let sum = 0;
    for (let n = 0; n < weights.length; n++) {
      const distance = Math.abs((n + first - center + 0.5) * (1 / support));
      sum += weights[n] = distance < 1 ? 1 - distance : 0;
    }
    for (let n = 0; n < weights.length; n++)
      weights[n] = Math.trunc(0.5 + (weights[n] / sum) * (1 << BITS));
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        let total = 1 << (BITS - 1);
        let place = (o * length + first) * inner + i;
        for (let n = 0; n < weights.length; n++, place += inner)
          total += data[place] * weights[n];
        done[(o * size + at) * inner + i] = Math.min(255, total >> BITS);
      }
    }
  }
  return done;
}

function roundHalfEven(x) {
  const whole = Math.floor(x);
  if (x - whole !== 0.5) return Math.round(x);
  return whole + (whole % 2);
}

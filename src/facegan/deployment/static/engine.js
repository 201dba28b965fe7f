"use strict";
// The generator in onnxruntime-web: latents in, images out. Everything comes out of this file.

const config = JSON.parse(document.getElementById("config").textContent);
const directions = new Map(config.directions.map((one) => [one.name, { ...one, vector: floats(one.vector) }]));
const speed = { faces: 0, milliseconds: 0 };
let session;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function floats(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}

// The gzipped bytes of a script element, which is emptied.
async function inflated(id) {
  const element = document.getElementById(id);
  const packed = new Blob([bytesOf(element.textContent)]);
  element.textContent = "";
  const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load() {
  if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined") {
    throw new Error("this browser is too old: it needs WebAssembly and DecompressionStream");
  }
  ort.env.wasm.numThreads = 1; // threads need headers that a file has not
  ort.env.wasm.wasmBinary = await inflated("runtime");
  session = await ort.InferenceSession.create(await inflated("model"), { executionProviders: ["wasm"] });
}

// The inputs {latents, labels} of a seed under settings {truncation, edits: {name: amount},
// order: {label: true or false}}. Without labels in the weights, there is no second input.
function inputsFor(seed, settings) {
  const edits = Object.entries(settings.edits).map(([name, amount]) => [amount, directions.get(name).vector]);
  const latents = moved(latentOfSeed(seed, config.latentDim), settings.truncation, edits);
  return config.labels ? { latents, labels: labelsOfSeed(seed, config.labels, settings.order ?? {}) } : { latents };
}

function between(start, end, t) {
  const labels = start.labels && { labels: start.labels.map((value, i) => value + (end.labels[i] - value) * t) };
  return { latents: slerp(start.latents, end.latents, t), ...labels };
}

function tensor(rows) {
  const data = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, i) => data.set(row, i * row.length));
  return new ort.Tensor("float32", data, [rows.length, rows[0].length]);
}

// [{latents: Float32Array(latentDim), labels: …}, …] -> Uint8Array, (N, H, W, C) in one piece.
async function drawInputs(faces) {
  const began = performance.now();
  const feeds = Object.keys(faces[0]).map((name) => [name, tensor(faces.map((face) => face[name]))]);
  const { images } = await session.run(Object.fromEntries(feeds));
  // a mean that forgets: the newest tenth of what was measured replaces the oldest
  speed.faces = 0.9 * speed.faces + faces.length;
  speed.milliseconds = 0.9 * speed.milliseconds + performance.now() - began;
  return images.data;
}

function facesPerSecond() {
  return speed.milliseconds ? (1000 * speed.faces) / speed.milliseconds : 0;
}

// One image of a batch as ImageData, which is RGBA; grey images have one channel.
function imageData(batch, index) {
  const { imageSize: size, channels } = config;
  const image = new ImageData(size, size);
  let from = index * size * size * channels;
  for (let to = 0; to < image.data.length; to += 4, from += channels) {
    for (let c = 0; c < 3; c++) image.data[to + c] = batch[from + Math.min(c, channels - 1)];
    image.data[to + 3] = 255;
  }
  return image;
}

function paint(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

// A PNG with an XMP packet, in a chunk after the header: config.mark with these facts.
function marked(blob, facts) {
  let packet = config.mark;
  for (const [name, value] of Object.entries(facts)) {
    const text = String(value).replace(/[&<"]/g, (character) => `&#${character.charCodeAt(0)};`);
    packet = packet.replace(new RegExp(`facegan:${name}="[^"]*"`), () => `facegan:${name}="${text}"`);
  }
  const body = new TextEncoder().encode(`iTXtXML:com.adobe.xmp\0\0\0\0\0${packet}`);
  const [length, crc] = [body.length - 4, crc32(body)].map((number) => {
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint32(0, number);
    return bytes;
  });
  return new Blob([blob.slice(0, 33), length, body, crc, blob.slice(33)], { type: "image/png" });
}

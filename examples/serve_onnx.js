// The face of seed 7 from generator.onnx, next to latents.js: npm install onnxruntime-web
const fs = require("fs");
const ort = require("onnxruntime-web");
const { latentOfSeed } = require("./latents.js");

async function main() {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(fs.readFileSync("generator.onnx"));
  const z = latentOfSeed(7, 64); // of seed 7, 64 values
  const { images } = await session.run({ latents: new ort.Tensor("float32", z, [1, 64]) });
  const [, height, width] = images.dims; // uint8 (N, H, W, C)
  fs.writeFileSync("seed-7.ppm", Buffer.concat([Buffer.from(`P6 ${width} ${height} 255\n`), images.data]));
}
main();

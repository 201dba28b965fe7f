"use strict";
// Latents of seeds, as facegan.latents draws them with torch on the CPU:
// torch.randn(size, generator=torch.Generator().manual_seed(seed)), float32.
// A Mersenne Twister (Matsumoto and Nishimura 1998) gives 32 bits at a time. torch turns them into
// normals by Box-Muller, in blocks of 16 values where there are 16 or more, else in pairs.

const TWO_PI = Math.fround(2 * Math.PI);

function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    const previous = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, previous) + i;
  }
  let position = 624;

  function twist() {
    for (let i = 0; i < 624; i++) {
      const bits = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    position = 0;
  }

  return function next() {
    if (position === 624) twist();
    let y = state[position++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// 16 uniform values of 24 bits each, in place -> 16 normal values, rounded to float32 at each step.
function boxMuller16(values, start) {
  for (let i = start; i < start + 8; i++) {
    const radius = Math.fround(Math.sqrt(Math.fround(-2 * Math.fround(Math.log(1 - values[i])))));
    const theta = Math.fround(TWO_PI * values[i + 8]);
    values[i] = radius * Math.fround(Math.cos(theta));
    values[i + 8] = radius * Math.fround(Math.sin(theta));
  }
}

function manyNormals(next, size) {
  const values = new Float32Array(size);
  const uniform = () => (next() & 0xffffff) / 2 ** 24;
  for (let i = 0; i < size; i++) values[i] = uniform();
  for (let start = 0; start + 16 <= size; start += 16) boxMuller16(values, start);
  if (size % 16) {
    // the last block overlaps the one before it and is drawn again
    for (let i = size - 16; i < size; i++) values[i] = uniform();
    boxMuller16(values, size - 16);
  }
  return values;
}

function fewNormals(next, size) {
  const values = new Float32Array(size);
  const uniform = () => {
    const high = BigInt(next());
    const bits = (high << 32n) | BigInt(next());
    return Number(bits & ((1n << 53n) - 1n)) / 2 ** 53;
  };
  for (let i = 0; i < size; i += 2) {
    const theta = 2 * Math.PI * uniform();
    const radius = Math.sqrt(-2 * Math.log1p(-uniform()));
    values[i] = radius * Math.cos(theta);
    if (i + 1 < size) values[i + 1] = radius * Math.sin(theta);
  }
  return values;
}

// One latent of N(0, 1): a seed from 0 to 2^32 - 1 -> Float32Array(size).
function latentOfSeed(seed, size) {
  const next = mersenneTwister(seed);
  return size < 16 ? fewNormals(next, size) : manyNormals(next, size);
}

// The labels of a seed, 1 (yes), -1 (no) or 0 (unknown), as facegan.networks.labels draws them: the
// least of exponential times whose rates are the counts of the combinations.
// table: {names, counts: {"+-?": number}}; order: {name: true or false}.
function labelsOfSeed(seed, table, order) {
  const next = mersenneTwister((seed ^ 0x9e3779b9) >>> 0);
  const wanted = Object.entries(order).map(([name, has]) => [table.names.indexOf(name), has ? "+" : "-"]);
  let best = { missing: Infinity, time: Infinity, text: "" };
  for (const [text, count] of Object.entries(table.counts)) {
    const time = Math.fround(-Math.fround(Math.log((next() & 0xffffff) / 2 ** 24)) / count);
    const missing = wanted.filter(([column, sign]) => text[column] !== sign).length;
    if (missing < best.missing || (missing === best.missing && time < best.time)) best = { missing, time, text };
  }
  const labels = Float32Array.from(best.text, (sign) => "-?+".indexOf(sign) - 1);
  for (const [column, sign] of wanted) labels[column] = sign === "+" ? 1 : -1;
  return labels;
}

// Spherical interpolation, as facegan.latent.interpolation.slerp: the direction turns at a
// constant rate and the length changes linearly.
function slerp(start, end, t) {
  const length = (z) => Math.hypot(...z);
  const [a, b] = [length(start), length(end)];
  let cosine = 0;
  for (let i = 0; i < start.length; i++) cosine += (start[i] / a) * (end[i] / b);
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const reach = a + (b - a) * t;
  const same = !(angle > 1e-4); // no direction to turn in; also for latents of length 0
  return start.map((value, i) => {
    if (same) return value + (end[i] - value) * t;
    const turned = Math.sin((1 - t) * angle) * (value / a) + Math.sin(t * angle) * (end[i] / b);
    return (turned / Math.sin(angle)) * reach;
  });
}

// z · truncation + the sum of amount · direction, in float32: [[amount, direction], …].
function moved(z, truncation, edits) {
  const scale = Math.fround(truncation);
  const result = z.map((value) => value * scale);
  for (const [amount, direction] of edits) {
    const factor = Math.fround(amount);
    for (let i = 0; i < result.length; i++) {
      result[i] += Math.fround(factor * direction[i]);
    }
  }
  return result;
}

if (typeof module !== "undefined") module.exports = { latentOfSeed, labelsOfSeed, slerp, moved }; // for require()

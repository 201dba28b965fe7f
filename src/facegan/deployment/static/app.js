"use strict";
// The page: sliders, the wall, one face enlarged, the walk.

const MAX_SEED = 2 ** 32 - 1;
const BATCH = 16; // faces drawn between two checks of the sliders, at most
const BATCH_SECONDS = 0.25; // on a slow device, whose first batch is one face
const TILES_AT_ONCE = 60; // appended at the wall's end
const MAIN_SLIDERS = 9;
const LONGEST = 4; // units of a direction
const WALK_SECONDS = 4;
const TRUNCATION = 0.7; // at first; with 1, as evaluated, more faces are broken

const $ = (id) => document.getElementById(id);
const plain = { truncation: 1, edits: {}, order: {} };
const settings = structuredClone(plain);
const tiles = new Map(); // button -> {seed, visible, version}
let version = 0; // of the settings; a tile of another version is drawn again
let drawing = false;
let nextSeed = 0;

// -- sliders

function slider(parent, { title, note, min, max, value, change }) {
  const box = document.createElement("label");
  box.className = "slider";
  const output = document.createElement("output");
  const input = Object.assign(document.createElement("input"), { type: "range", min, max, step: 0.1 });
  input.setAttribute("aria-label", title);
  const show = () => {
    output.textContent = Number(input.value).toFixed(1);
    change(Number(input.value));
  };
  input.addEventListener("input", () => { show(); redraw(); });
  input.reset = () => { input.value = value; show(); };
  input.reset();
  box.append(title, output, input);
  if (note) box.append(Object.assign(document.createElement("small"), { textContent: note }));
  parent.append(box);
}

function directionSlider(parent, { name, also }) {
  const readable = name.replaceAll("_", " ");
  const change = (amount) => {
    if (amount) settings.edits[name] = amount;
    else delete settings.edits[name];
  };
  slider(parent, { title: readable, note: also, min: -LONGEST, max: LONGEST, value: 0, change });
}

function buildSliders() {
  const truncation = (value) => { settings.truncation = value; };
  slider($("main-sliders"), { title: "Truncation", note: "less: likelier faces, less variety", min: 0, max: 1.5,
    value: TRUNCATION, change: truncation });
  config.directions.forEach((one, i) =>
    directionSlider(i < MAIN_SLIDERS ? $("main-sliders") : $("more-sliders"), one));
  $("more").hidden = config.directions.length <= MAIN_SLIDERS;
  config.labels?.names.forEach(labelChoice);
}

// A label that the faces have, lack, or have as in the training data.
function labelChoice(name) {
  const box = Object.assign(document.createElement("label"), { className: "choice" });
  const select = document.createElement("select");
  for (const [text, value] of [["any", ""], ["yes", "yes"], ["no", "no"]]) select.append(new Option(text, value));
  const change = () => {
    if (select.value) settings.order[name] = select.value === "yes";
    else delete settings.order[name];
  };
  select.addEventListener("change", () => { change(); redraw(); });
  select.reset = () => { select.value = ""; change(); };
  box.append(name.replaceAll("_", " "), select);
  $("labels").append(box);
}

function redraw() {
  version++;
  pump();
  drawLarge();
}

// -- the wall

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const tile = tiles.get(target);
    if (tile) tile.visible = isIntersecting;
  }
  pump();
}, { rootMargin: "300px" });

const ending = new IntersectionObserver(([end]) => { if (end.isIntersecting) appendTiles(); },
  { rootMargin: "600px" });

function appendTiles() {
  const added = document.createDocumentFragment();
  for (let i = 0; i < TILES_AT_ONCE && nextSeed <= MAX_SEED; i++, nextSeed++) {
    const button = Object.assign(document.createElement("button"), { className: "face", type: "button" });
    button.setAttribute("aria-label", `Face ${nextSeed}, enlarge`);
    button.append(document.createElement("canvas"),
      Object.assign(document.createElement("span"), { textContent: nextSeed }));
    tiles.set(button, { seed: nextSeed, visible: false, version: -1 });
    watcher.observe(button);
    added.append(button);
  }
  $("wall").append(added);
  ending.disconnect(); // and observed again: of an end that stays near, nothing more is reported
  ending.observe($("end"));
}

function startWall(seed) {
  watcher.disconnect();
  tiles.clear();
  $("wall").replaceChildren();
  nextSeed = seed;
  appendTiles();
}

// Draws what is visible and out of date, batch by batch, until nothing is.
async function pump() {
  if (drawing || !session) return;
  drawing = true;
  try {
    for (;;) {
      const count = Math.min(BATCH, Math.ceil(BATCH_SECONDS * facesPerSecond()) || 1);
      const stale = [...tiles].filter(([, tile]) => tile.visible && tile.version !== version).slice(0, count);
      if (!stale.length) break;
      const drawn = version;
      const images = await drawInputs(stale.map(([, tile]) => inputsFor(tile.seed, settings)));
      stale.forEach(([button, tile], i) => {
        paint(button.firstChild, imageData(images, i));
        tile.version = drawn;
      });
      $("status").textContent = `${Number(facesPerSecond().toPrecision(2)).toLocaleString("en")} faces per second`;
      await new Promise((resolve) => setTimeout(resolve)); // lets the sliders move
    }
  } finally {
    drawing = false;
  }
}

function seedOf(input) {
  const seed = Math.round(Number(input.value));
  input.value = Math.min(MAX_SEED, Math.max(0, seed || 0));
  return Number(input.value);
}

// Arrow keys move the focus over the wall as it is laid out.
function moveFocus(event) {
  const buttons = [...tiles.keys()];
  const at = buttons.indexOf(document.activeElement);
  const columns = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (at < 0 || !step || !buttons[at + step]) return;
  event.preventDefault();
  buttons[at + step].focus();
}

// -- one face, enlarged

let largeSeed = 0;
let largeBusy = false;
let largeStale = false;
let playing = null; // the time of the last frame of a walk, in milliseconds

async function drawLarge() {
  if (!$("large").open) return;
  largeStale = true;
  if (largeBusy) return;
  largeBusy = true;
  try {
    while (largeStale) {
      largeStale = false;
      const t = Number($("position").value);
      const start = inputsFor(largeSeed, settings);
      const face = t ? between(start, inputsFor(seedOf($("target")), settings), t) : start;
      paint($("large-face"), imageData(await drawInputs([face]), 0));
      $("large-title").textContent = largeName(t);
    }
  } finally {
    largeBusy = false;
  }
}

function largeName(t) {
  return t ? `Face ${largeSeed} to ${$("target").value}, ${Math.round(100 * t)}%` : `Face ${largeSeed}`;
}

function enlarge(seed) {
  stop();
  largeSeed = Math.min(MAX_SEED, Math.max(0, seed));
  $("target").value = largeSeed < MAX_SEED ? largeSeed + 1 : 0;
  $("position").value = 0;
  if (!$("large").open) $("large").showModal();
  return drawLarge();
}

function stop() {
  playing = null;
  $("play").textContent = "Play";
  $("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (playing !== null) return stop();
  playing = performance.now();
  $("play").textContent = "Pause";
  $("play").setAttribute("aria-pressed", "true");
  if (Number($("position").value) === 1) $("position").value = 0;
  requestAnimationFrame(step);
}

function step(now) {
  if (playing === null) return;
  const position = Number($("position").value) + Math.max(0, now - playing) / 1000 / WALK_SECONDS;
  playing = now;
  $("position").value = Math.min(1, position);
  $("position").step = "any"; // a frame is shorter than a step of the slider
  drawLarge();
  if (position < 1) requestAnimationFrame(step);
  else stop();
}

// The mark of a saved face. A smoothed or interpolated one is not what the weights draw.
function largeFacts(size) {
  const t = Number($("position").value);
  const smoothed = size !== config.imageSize && !$("pixels").checked;
  return {
    seeds: t ? `${largeSeed},${$("target").value}` : largeSeed,
    truncation: settings.truncation,
    attributes: Object.entries(settings.order).map(([name, has]) => (has ? name : `-${name}`)).join(","),
    edit: Object.entries(settings.edits).map((edit) => edit.join(":")).join(","),
    motion: t ? "interpolation" : smoothed ? "smoothed" : "",
    upscale: size / config.imageSize,
  };
}

function save(size) {
  const picture = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const context = picture.getContext("2d", { alpha: false });
  context.imageSmoothingEnabled = !$("pixels").checked;
  context.imageSmoothingQuality = "high";
  context.drawImage($("large-face"), 0, 0, size, size);
  const facts = largeFacts(size);
  picture.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(marked(blob, facts)) });
    link.download = `${config.name}-seed-${largeSeed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}

// -- events

$("wall").addEventListener("click", (event) => {
  const tile = tiles.get(event.target.closest("button"));
  if (tile) enlarge(tile.seed);
});
$("wall").addEventListener("keydown", moveFocus);
$("first").addEventListener("change", () => startWall(seedOf($("first"))));
$("shuffle").addEventListener("click", () => {
  $("first").value = crypto.getRandomValues(new Uint32Array(1))[0];
  startWall(seedOf($("first")));
});
$("reset").addEventListener("click", () => {
  for (const input of $("panel").querySelectorAll("input[type=range], select")) input.reset();
  redraw();
});
$("pixels").addEventListener("change", () => document.body.classList.toggle("pixels", $("pixels").checked));
$("previous").addEventListener("click", () => enlarge(largeSeed - 1));
$("next").addEventListener("click", () => enlarge(largeSeed + 1));
$("close").addEventListener("click", () => $("large").close());
$("large").addEventListener("close", stop);
$("large").addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT") return;
  if (event.key === "ArrowLeft") enlarge(largeSeed - 1);
  if (event.key === "ArrowRight") enlarge(largeSeed + 1);
});
$("target").addEventListener("change", drawLarge);
$("position").addEventListener("input", drawLarge);
$("play").addEventListener("click", play);
$("save").addEventListener("click", () => save(config.imageSize * Math.ceil(448 / config.imageSize)));
$("save-small").addEventListener("click", () => save(config.imageSize));

// For scripts: facegan.draw([7], {truncation: 0.7, edits: {}, order: {}}) -> Promise<Uint8Array>, (N, H, W, C).
// Keys may be left out; without any, the page's own settings.
const facegan = {
  ready: load(),
  draw: (seeds, how = settings) => drawInputs(seeds.map((seed) => inputsFor(seed, { ...plain, ...how }))),
};

if (matchMedia("(max-width: 600px)").matches) $("panel").open = false;
buildSliders();
facegan.ready.then(() => {
  $("status").textContent = "Drawing the first faces …";
  startWall(0);
}).catch((error) => {
  $("status").className = "error";
  $("status").textContent = `The generator cannot be loaded: ${error.message}`;
});

// Where the field is seen from: the whole map, or as near as the battle allows.
const view = { scale: 1, x: SIZE / 2, y: SIZE / 2, width: 1, height: 1 };
const crop = cropOfMap();
const mix = (a, b, share) => a + (b - a) * share;
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const MARGIN_CELLS = 2.5, LEAST_CELLS = 11, SMOOTH_STEPS = 5;
let terrain = null;

function toPixels(x, y) {
  return [(x - view.x) * view.scale + view.width / 2, (view.y - y) * view.scale + view.height / 2];
}

// Give the canvas the size of its place on the page.
function fitStage() {
  const box = canvas.parentElement, ratio = devicePixelRatio || 1;
  view.width = box.clientWidth;
  view.height = box.clientHeight;
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(view.height * ratio);
  terrain ??= drawTerrain();
}

// [steps + 1] boxes {x, y, w, h} around the living, smoothed over time.
function framesOf(battle) {
  const boxes = Array.from({ length: battle.steps + 1 }, (_, t) => boxAround(battle, t));
  return boxes.map((_, t) => {
    const near = boxes.slice(Math.max(0, t - SMOOTH_STEPS), t + SMOOTH_STEPS + 1);
    const mean = (name) => near.reduce((sum, box) => sum + box[name], 0) / near.length;
    return { x: mean("x"), y: mean("y"), w: Math.max(...near.map((box) => box.w)), h: Math.max(...near.map((box) => box.h)) };
  });
}

function boxAround(battle, t) {
  let [x0, y0, x1, y1] = [SIZE, SIZE, 0, 0];
  for (let u = 0; u < U; u++) {
    if (!alive(battle, t, u)) continue;
    const [x, y] = position(battle, t, u);
    [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  }
  if (x1 < x0) return { x: (crop.x0 + crop.x1) / 2, y: (crop.y0 + crop.y1) / 2, w: LEAST_CELLS, h: LEAST_CELLS };
  const size = (low, high) => Math.max(LEAST_CELLS, high - low + 2 * MARGIN_CELLS);
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, w: size(x0, x1), h: size(y0, y1) };
}

// What the camera should show: the map, the battle, or all that the selected agent sees.
function wantedBox(m, selected, follows) {
  const map = { x: (crop.x0 + crop.x1) / 2, y: (crop.y0 + crop.y1) / 2, w: crop.x1 - crop.x0, h: crop.y1 - crop.y0 };
  if (!follows) return map;
  if (selected >= 0 && isUp(m, selected)) {
    const across = 2 * recording.units[selected].sight_cells + 0.8;
    return { x: m.places[selected][0], y: m.places[selected][1], w: across, h: across };
  }
  const [a, b] = [m.battle.frames[m.t], m.battle.frames[m.next]];
  const box = Object.fromEntries(["x", "y", "w", "h"].map((name) => [name, mix(a[name], b[name], m.share)]));
  return box.w * box.h > map.w * map.h ? map : box;
}

// Turn the camera towards a box, within `passed` seconds; at once where there is no time to lose.
function moveCamera(box, passed) {
  const scale = Math.min(view.width / box.w, view.height / box.h);
  const share = passed === null || isCalm ? 1 : 1 - Math.exp(-7 * passed);
  view.scale *= (scale / view.scale) ** share;
  view.x = mix(view.x, box.x, share);
  view.y = mix(view.y, box.y, share);
}

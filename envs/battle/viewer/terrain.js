// The ground, drawn once. Cells are x-first: index x * SIZE + y; y grows to the north, pixels to the south.
const SIZE = Math.sqrt(recording.map.ground.length), CELL = 48;
const COLORS = { rock: "#0e131a", edge: "#5d6f86", cliff: "#222a35", low: [38, 47, 60], high: [62, 74, 90] };

const groundAt = (x, y) => (x < 0 || y < 0 || x >= SIZE || y >= SIZE ? 0 : recording.map.ground[x * SIZE + y]);
const levelAt = (x, y) => recording.map.level[x * SIZE + y] / 8;

// The part of the map worth showing: all ground, and a cell around it.
function cropOfMap() {
  const crop = { x0: SIZE, y0: SIZE, x1: 0, y1: 0 };
  for (let x = 0; x < SIZE; x++)
    for (let y = 0; y < SIZE; y++)
      if (groundAt(x, y)) {
        crop.x0 = Math.min(crop.x0, x);
        crop.y0 = Math.min(crop.y0, y);
        crop.x1 = Math.max(crop.x1, x + 1);
        crop.y1 = Math.max(crop.y1, y + 1);
      }
  crop.x0 = Math.max(0, crop.x0 - 1);
  crop.y0 = Math.max(0, crop.y0 - 1);
  crop.x1 = Math.min(SIZE, crop.x1 + 1);
  crop.y1 = Math.min(SIZE, crop.y1 + 1);
  return crop;
}

function groundColor(level) {
  const share = Math.min(1, Math.max(0, level - 1));
  const mix = COLORS.low.map((low, i) => Math.round(low + share * (COLORS.high[i] - low)));
  return `rgb(${mix.join(" ")})`;
}

// The whole map as a picture.
function drawTerrain() {
  const picture = document.createElement("canvas");
  picture.width = picture.height = SIZE * CELL;
  const ctx = picture.getContext("2d");
  ctx.fillStyle = COLORS.rock;
  ctx.fillRect(0, 0, picture.width, picture.height);
  for (let x = 0; x < SIZE; x++) for (let y = 0; y < SIZE; y++) drawCell(ctx, x, y);
  ctx.lineCap = "round";
  ctx.lineWidth = CELL / 14;
  ctx.strokeStyle = COLORS.edge;
  for (let x = 0; x < SIZE; x++) for (let y = 0; y < SIZE; y++) drawEdges(ctx, x, y);
  return picture;
}

function drawCell(ctx, x, y) {
  const px = x * CELL, py = (SIZE - 1 - y) * CELL, size = CELL;
  const ground = groundAt(x, y);
  if (ground) {
    ctx.fillStyle = ground === 2 ? groundColor(levelAt(x, y)) : COLORS.cliff;
    ctx.fillRect(px, py, size, size);
    if (ground === 1) hatch(ctx, px, py, size);
    else if ((x + y) % 2) {
      ctx.fillStyle = "rgb(255 255 255 / .014)";
      ctx.fillRect(px, py, size, size);
    }
  } else if (levelAt(x, y) > 0) {
    ctx.fillStyle = "#171e28";
    ctx.fillRect(px, py, size, size);
  }
}

function hatch(ctx, px, py, size) {
  ctx.strokeStyle = "rgb(255 255 255 / .1)";
  ctx.lineWidth = Math.max(1, size / 14);
  ctx.beginPath();
  for (const offset of [0.25, 0.75]) {
    ctx.moveTo(px, py + size * offset);
    ctx.lineTo(px + size * offset, py);
    ctx.moveTo(px + size * offset, py + size);
    ctx.lineTo(px + size, py + size * offset);
  }
  ctx.stroke();
}

// A line where the ground changes for units that walk.
function drawEdges(ctx, x, y) {
  const here = groundAt(x, y);
  if (!here) return;
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    const isOutside = x + dx < 0 || y + dy < 0 || x + dx >= SIZE || y + dy >= SIZE;
    if (isOutside || groundAt(x + dx, y + dy) === here) continue;
    const ax = x + (dx > 0), ay = y + (dy > 0);
    ctx.beginPath();
    ctx.moveTo(ax * CELL, (SIZE - ay) * CELL);
    ctx.lineTo((ax + (dx === 0)) * CELL, (SIZE - ay - (dy === 0)) * CELL);
    ctx.stroke();
  }
}

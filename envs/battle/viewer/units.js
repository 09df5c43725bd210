// How units look: a shape for each type, a colour for each side, rings for life.
const SIDE = {
  agent: { fill: "#2f8fd8", line: "#bfe3ff", shot: "#8fd0ff", text: "#ffffff" },
  enemy: { fill: "#d9663a", line: "#ffd2bd", shot: "#ffb08f", text: "#ffffff" },
};
const sideOf = (u) => (u < N ? SIDE.agent : SIDE.enemy);

function polygon(ctx, points, r) {
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x * r, y * r) : ctx.moveTo(x * r, y * r)));
  ctx.closePath();
}

function regular(ctx, corners, r, turn = 0, inner = 1) {
  const points = [];
  const count = inner === 1 ? corners : 2 * corners;
  for (let i = 0; i < count; i++) {
    const angle = turn + (2 * Math.PI * i) / count, size = i % 2 ? inner : 1;
    points.push([size * Math.cos(angle), size * Math.sin(angle)]);
  }
  polygon(ctx, points, r);
}

// Outlines around (0, 0) that look along +x.
const SHAPES = {
  marine: (ctx, r) => ctx.arc(0, 0, r, 0, 2 * Math.PI),
  marauder: (ctx, r) => ctx.roundRect(-0.88 * r, -0.88 * r, 1.76 * r, 1.76 * r, 0.35 * r),
  medivac: (ctx, r) => polygon(ctx, [[1, 0.35], [0.35, 0.35], [0.35, 1], [-0.35, 1], [-0.35, 0.35], [-1, 0.35], [-1, -0.35], [-0.35, -0.35], [-0.35, -1], [0.35, -1], [0.35, -0.35], [1, -0.35]], r),
  stalker: (ctx, r) => regular(ctx, 6, r),
  zealot: (ctx, r) => polygon(ctx, [[1.1, 0], [0, 0.95], [-0.9, 0.6], [-0.6, 0], [-0.9, -0.6], [0, -0.95]], r),
  colossus: (ctx, r) => regular(ctx, 8, r, Math.PI / 8),
  hydralisk: (ctx, r) => polygon(ctx, [[1.1, 0], [0.2, 0.85], [-0.9, 0.55], [-0.9, -0.55], [0.2, -0.85]], r),
  zergling: (ctx, r) => polygon(ctx, [[1.25, 0], [-0.9, 0.95], [-0.45, 0], [-0.9, -0.95]], r),
  baneling: (ctx, r) => regular(ctx, 8, 1.1 * r, 0, 0.78),
  spine_crawler: (ctx, r) => regular(ctx, 5, 1.1 * r, 0, 0.62),
};

function drawShape(ctx, type, side, r, facing, withLine = true) {
  ctx.save();
  ctx.rotate(-facing);
  ctx.beginPath();
  SHAPES[type](ctx, r);
  ctx.fillStyle = side.fill;
  ctx.fill();
  if (withLine) {
    ctx.lineJoin = "round";
    ctx.lineWidth = Math.max(1, r * 0.14);
    ctx.strokeStyle = side.line;
    ctx.stroke();
  }
  if (type === "colossus") {
    ctx.beginPath();
    ctx.arc(0, 0, r * 0.5, 0, 2 * Math.PI);
    ctx.stroke();
  }
  ctx.restore();
}

function ring(ctx, r, share, color, width) {
  ctx.lineWidth = width;
  ctx.lineCap = "butt";
  ctx.strokeStyle = "rgb(0 0 0 / .55)";
  ctx.beginPath();
  ctx.arc(0, 0, r, 0, 2 * Math.PI);
  ctx.stroke();
  if (share <= 0) return;
  ctx.strokeStyle = color;
  ctx.beginPath();
  ctx.arc(0, 0, r, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * Math.min(1, share));
  ctx.stroke();
}

const lifeColor = (share) => (share > 0.6 ? "#6fdc9b" : share > 0.3 ? "#ffd166" : "#ff6b6b");

// A unit at pixel (x, y): body, rings of health and shields, the agents' numbers.
function drawUnit(ctx, u, x, y, scale, facing, life, shields, hurt) {
  const unit = recording.units[u], r = Math.max(unit.radius * scale, 3.2);
  const width = Math.max(1.6, Math.min(4, scale * 0.1));
  ctx.save();
  ctx.translate(x, y);
  if (unit.type === "medivac") {
    ctx.fillStyle = "rgb(0 0 0 / .35)";
    ctx.beginPath();
    ctx.arc(r * 0.35, r * 0.5, r * 0.9, 0, 2 * Math.PI);
    ctx.fill();
  }
  drawShape(ctx, unit.type, sideOf(u), r * 0.86, facing);
  if (hurt > 0) {
    ctx.globalAlpha = 0.75 * hurt;
    ctx.fillStyle = "#fff";
    ctx.beginPath();
    ctx.arc(0, 0, r * 0.86, 0, 2 * Math.PI);
    ctx.fill();
    ctx.globalAlpha = 1;
  }
  ring(ctx, r + width * 0.6, life / unit.health_max, lifeColor(life / unit.health_max), width);
  if (unit.shield_max) ring(ctx, r + width * 1.8, shields / unit.shield_max, "#b9a3ff", width * 0.8);
  if (u < N && r >= 5) {
    ctx.fillStyle = "#fff";
    ctx.font = `700 ${Math.max(8, Math.min(18, r * (u > 9 ? 0.95 : 1.15)))}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = 2.5;
    ctx.strokeStyle = "rgb(5 20 34 / .7)";
    ctx.strokeText(u, 0, r * 0.04);
    ctx.fillText(u, 0, r * 0.04);
  }
  ctx.restore();
}

// The battlefield on its canvas: what is drawn at a moment. Where it is drawn: camera.js.
const canvas = document.getElementById("field");
const context = canvas.getContext("2d");

// 0 … 1 while `share` goes from a to b.
const during = (share, a, b) => Math.min(1, Math.max(0, (share - a) / (b - a)));

// The moment `time` (in steps) of a battle: step t, how far into it, and where every unit is.
function momentOf(battle, time) {
  const t = Math.min(Math.floor(time), Math.max(0, battle.steps - 1));
  const next = Math.min(t + 1, battle.steps), share = battle.steps ? time - t : 0;
  const places = Array.from({ length: U }, (_, u) => {
    const [ax, ay] = position(battle, t, u), [bx, by] = position(battle, next, u);
    return alive(battle, next, u) ? [mix(ax, bx, share), mix(ay, by, share)] : [ax, ay];
  });
  return { battle, t, next, share, time, places };
}

const HIT = 0.55; // when in a step what was shot lands
const isUp = (m, u) => alive(m.battle, m.t, u) && (alive(m.battle, m.next, u) || m.share < HIT + 0.1);
const isSeen = (m, i, u) => Math.hypot(m.places[u][0] - m.places[i][0], m.places[u][1] - m.places[i][1]) < recording.units[i].sight_cells;

function drawMoment(m, selected, showOrders) {
  const ctx = context, ratio = devicePixelRatio || 1;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.fillStyle = COLORS.rock;
  ctx.fillRect(0, 0, view.width, view.height);
  const [left, top] = toPixels(0, SIZE);
  ctx.drawImage(terrain, left, top, SIZE * view.scale, SIZE * view.scale);
  drawRemains(ctx, m);
  const watches = selected >= 0 && isUp(m, selected);
  const up = [...Array(U).keys()].filter((u) => isUp(m, u)).sort((a, b) => layer(a) - layer(b));
  const unseen = watches ? up.filter((u) => !isSeen(m, selected, u)) : [];
  for (const u of unseen) drawUp(ctx, m, u);
  if (watches) dimUnseen(ctx, m, selected);
  const seen = watches ? up.filter((u) => isSeen(m, selected, u)) : up;
  if (showOrders) for (const i of seen) if (i < N && i !== selected) drawOrder(ctx, m, i, false);
  for (const u of seen) drawUp(ctx, m, u);
  for (const shot of m.battle.shots[m.t] ?? []) drawShot(ctx, m, shot, watches && !seen.includes(shot.from) ? 0.35 : 1);
  if (watches) {
    drawOrder(ctx, m, selected, true);
    circle(ctx, m.places[selected], recording.units[selected].radius + 0.45, "#ffd166", 2.5);
  }
  const target = pointedAt();
  if (target >= 0) circle(ctx, m.places[target], recording.units[target].radius + 0.5, "#fff", 2);
  drawBursts(ctx, m);
}

const layer = (u) => ({ medivac: 3, colossus: 2 })[recording.units[u].type] ?? (u < N ? 1 : 0);

function circle(ctx, [x, y], radius, color, width, dash = []) {
  const [px, py] = toPixels(x, y);
  ctx.beginPath();
  ctx.arc(px, py, radius * view.scale, 0, 2 * Math.PI);
  ctx.setLineDash(dash);
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}

function drawUp(ctx, m, u) {
  const [px, py] = toPixels(...m.places[u]), landed = during(m.share, HIT - 0.05, HIT + 0.1);
  const before = health(m.battle, m.t, u), after = health(m.battle, m.next, u);
  const shieldsBefore = shield(m.battle, m.t, u), shieldsAfter = shield(m.battle, m.next, u);
  const lost = before + shieldsBefore - after - shieldsAfter > 0.5;
  const hurt = lost ? during(m.share, HIT - 0.04, HIT) * (1 - during(m.share, HIT, HIT + 0.3)) : 0;
  const turn = turned(m.battle.facing[m.t * U + u], m.battle.facing[m.next * U + u], during(m.share, 0, 0.3));
  drawUnit(ctx, u, px, py, view.scale, turn, mix(before, after, landed), mix(shieldsBefore, shieldsAfter, landed), hurt);
}

function turned(from, to, share) {
  const turn = Math.atan2(Math.sin(to - from), Math.cos(to - from));
  return from + turn * share;
}

function dimUnseen(ctx, m, selected) {
  const [px, py] = toPixels(...m.places[selected]), { sight_cells, shoot_cells } = recording.units[selected];
  ctx.fillStyle = "rgb(6 8 12 / .62)";
  ctx.beginPath();
  ctx.rect(0, 0, view.width, view.height);
  ctx.arc(px, py, sight_cells * view.scale, 0, 2 * Math.PI, true);
  ctx.fill("evenodd");
  circle(ctx, m.places[selected], sight_cells, "rgb(255 209 102 / .75)", 1.5);
  circle(ctx, m.places[selected], shoot_cells, "rgb(255 209 102 / .4)", 1, [4, 5]);
}

// What agent i chose: a line to the unit it attacks or heals, an arrow where it walks.
function drawOrder(ctx, m, i, strong) {
  if (!m.battle.steps || !alive(m.battle, m.t, i)) return;
  const a = action(m.battle, m.t, i), target = targetOf(i, a);
  const [x, y] = m.places[i], [px, py] = toPixels(x, y);
  ctx.strokeStyle = ctx.fillStyle = strong ? "#ffd166" : "rgb(143 208 255 / .5)";
  ctx.lineWidth = strong ? 2.5 : 1.2;
  if (target >= 0) {
    const [tx, ty] = toPixels(...m.places[target]);
    ctx.setLineDash(strong ? [7, 4] : [2, 4]);
    ctx.beginPath();
    ctx.moveTo(px, py);
    ctx.lineTo(tx, ty);
    ctx.stroke();
    ctx.setLineDash([]);
    if (strong) circle(ctx, m.places[target], recording.units[target].radius + 0.35, "#ffd166", 2);
  } else {
    const [, dx, dy] = recording.actions[a], reach = recording.units[i].radius + (strong ? 1.1 : 0.7);
    if (dx || dy) arrow(ctx, px, py, ...toPixels(x + dx * reach, y + dy * reach), strong ? 8 : 5);
  }
}

function arrow(ctx, ax, ay, bx, by, head) {
  const angle = Math.atan2(by - ay, bx - ax);
  ctx.beginPath();
  ctx.moveTo(ax, ay);
  ctx.lineTo(bx, by);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(bx + head * 0.6 * Math.cos(angle), by + head * 0.6 * Math.sin(angle));
  ctx.lineTo(bx + head * Math.cos(angle + 2.4), by + head * Math.sin(angle + 2.4));
  ctx.lineTo(bx + head * Math.cos(angle - 2.4), by + head * Math.sin(angle - 2.4));
  ctx.fill();
}

// A shot: a projectile, a ray or a beam from edge to edge, a slash where weapons touch.
function drawShot(ctx, m, { from, to, heals }, strength) {
  const gone = during(m.share, HIT, HIT + 0.25), flown = during(m.share, 0.15, HIT);
  if (flown <= 0 || gone >= 1) return;
  const unit = recording.units[from], [ax, ay] = m.places[from], [bx, by] = m.places[to];
  const far = Math.hypot(bx - ax, by - ay), reach = unit.radius / (far || 1), edge = 1 - recording.units[to].radius / (far || 1);
  const along = (share) => toPixels(mix(ax, bx, share), mix(ay, by, share));
  ctx.save();
  ctx.globalAlpha = strength * (1 - gone);
  ctx.strokeStyle = ctx.fillStyle = heals ? "#6fdc9b" : sideOf(from).shot;
  ctx.lineCap = "round";
  if (!heals && edge - reach < 0.7 / (far || 1)) slash(ctx, along((reach + edge) / 2), Math.atan2(by - ay, bx - ax), flown);
  else ray(ctx, unit, along, reach, edge, flown, heals, gone === 0);
  ctx.restore();
}

function ray(ctx, unit, along, reach, edge, flown, heals, flies) {
  const tip = along(mix(reach, edge, flown)), tail = unit.projectile ? mix(reach, edge, Math.max(0, flown - 0.25)) : reach;
  ctx.lineWidth = unit.type === "colossus" || heals ? Math.max(2.5, view.scale * 0.16) : Math.max(1.2, view.scale * 0.06);
  ctx.beginPath();
  ctx.moveTo(...along(tail));
  ctx.lineTo(...tip);
  ctx.stroke();
  if (!unit.projectile || !flies) return;
  ctx.beginPath();
  ctx.arc(...tip, Math.max(2.2, view.scale * 0.13), 0, 2 * Math.PI);
  ctx.fill();
}

function slash(ctx, [px, py], angle, flown) {
  const size = view.scale * 0.34, swing = mix(-1, 1, flown);
  ctx.lineWidth = Math.max(2, view.scale * 0.1);
  ctx.translate(px, py);
  ctx.rotate(-angle);
  ctx.beginPath();
  ctx.arc(-size, 0, size * 1.3, -0.9 + 0.3 * swing, 0.9 * flown + 0.3 * swing);
  ctx.stroke();
}

// A cross for good where a unit fell, and a burst when it falls.
function drawRemains(ctx, m) {
  for (const { u, t } of m.battle.deaths) {
    if (m.time < t + HIT + 0.1) break;
    const [px, py] = toPixels(...position(m.battle, t, u)), size = recording.units[u].radius * view.scale * 0.45;
    ctx.strokeStyle = u < N ? "rgb(91 184 255 / .42)" : "rgb(255 138 92 / .34)";
    ctx.lineWidth = Math.max(1.2, view.scale * 0.09);
    ctx.beginPath();
    ctx.moveTo(px - size, py - size);
    ctx.lineTo(px + size, py + size);
    ctx.moveTo(px - size, py + size);
    ctx.lineTo(px + size, py - size);
    ctx.stroke();
  }
}

function drawBursts(ctx, m) {
  for (const { u, t } of m.battle.deaths) {
    const age = (m.time - t - HIT) / 0.9;
    if (age < 0 || age >= 1) continue;
    const unit = recording.units[u], reach = unit.splash || unit.radius * 1.9;
    ctx.globalAlpha = 1 - age;
    const color = unit.splash ? "#b7e36b" : sideOf(u).line;
    circle(ctx, position(m.battle, t, u), mix(unit.radius * 0.6, reach, Math.sqrt(age)), color, mix(4, 1, age));
    ctx.globalAlpha = 1;
  }
}

// The unit under a pixel, the nearest within a finger's reach, or -1.
function unitAt(m, px, py) {
  let best = -1, nearest = Infinity;
  for (let u = 0; u < U; u++) {
    if (!isUp(m, u)) continue;
    const [x, y] = toPixels(...m.places[u]), distance = Math.hypot(px - x, py - y);
    const reach = Math.max(recording.units[u].radius * view.scale + 4, 16);
    if (distance < Math.min(reach, nearest)) [best, nearest] = [u, distance];
  }
  return best;
}

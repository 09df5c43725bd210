// What stands beside the field: the selected agent, its choices, and the team.
const agentCard = document.getElementById("agent");
const roster = document.getElementById("roster");

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function meter(kind, share) {
  const bar = element("i");
  bar.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  if (kind === "health") bar.style.background = lifeColor(share);
  return element("div", { class: `meter ${kind}` }, bar);
}

function chip(u) {
  const size = 30, ratio = devicePixelRatio || 1;
  const picture = element("canvas", { class: "chip", width: size * ratio, height: size * ratio, "aria-hidden": "true" });
  const ctx = picture.getContext("2d");
  ctx.scale(ratio, ratio);
  ctx.translate(size / 2, size / 2);
  drawShape(ctx, recording.units[u].type, sideOf(u), 11, 0);
  if (u < N) {
    ctx.font = "700 12px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = "#fff";
    ctx.fillText(u, 0, 0.5);
  }
  return picture;
}

// One button per agent, which stays from battle to battle: a press may last longer than a battle.
function createRoster(onSelect) {
  for (let i = 0; i < N; i++) {
    const button = element("button", { "data-agent": i, "aria-pressed": "false" });
    button.addEventListener("click", () => onSelect(i));
    roster.append(button);
  }
}

// What stands on the buttons: the units of a battle.
function fillRoster() {
  for (const button of roster.children) {
    const i = Number(button.dataset.agent), name = element("span", {}, unitName(i));
    const life = meter("health", 1), parts = [name, life];
    if (recording.units[i].shield_max) parts.push(meter("shield", 1));
    const does = element("span", { class: "does" }), side = element("span", { class: "side" }, does);
    if (feed) side.append(element("span", { class: "link" }));
    button.replaceChildren(chip(i), element("span", { class: "who" }, ...parts), side);
  }
}

function updateRoster(battle, t, selected) {
  const over = t >= battle.steps;
  for (const button of roster.children) {
    const i = Number(button.dataset.agent), unit = recording.units[i], lives = alive(battle, t, i);
    const [life, shields] = button.querySelectorAll(".meter i");
    life.style.width = `${(100 * (lives ? health(battle, t, i) : 0)) / unit.health_max}%`;
    life.style.background = lifeColor(health(battle, t, i) / unit.health_max);
    if (shields) shields.style.width = `${(100 * (lives ? shield(battle, t, i) : 0)) / unit.shield_max}%`;
    button.querySelector(".does").textContent = !lives ? "fallen" : over ? "" : describeAction(i, action(battle, t, i));
    button.classList.toggle("dead", !lives);
    button.setAttribute("aria-pressed", String(i === selected));
  }
}

// The selected agent's card; its button to close it is the page's own, and stays while the rest is drawn anew.
function updateAgent(battle, t, selected) {
  const name = agentCard.querySelector("h2"), body = agentCard.querySelector(".body");
  agentCard.querySelector(".close").hidden = selected < 0;
  if (selected < 0) {
    name.replaceChildren("No agent selected");
    body.replaceChildren(
      element("p", { class: "hint" }, "Select one on the field or in the list to see what it sees, what it chose, and how it rated its other actions."),
    );
    return;
  }
  const lives = alive(battle, t, selected), over = t >= battle.steps;
  name.replaceChildren(chip(selected), `Agent ${selected}: ${NAMES[recording.units[selected].type]}`);
  body.replaceChildren();
  if (feed) body.append(element("dl", { class: "connection" }));
  updateConnection(selected);
  if (!lives) {
    body.append(element("p", { class: "hint" }, "Fallen: it sees nothing and can only do nothing."));
    return;
  }
  body.append(meters(battle, t, selected));
  if (over) body.append(element("p", { class: "hint" }, battle.end === "running" ? "Its next action is not there yet." : "The battle is over."));
  else body.append(...choices(battle, t, selected));
  showTaken();
}

// Scrolls the list of actions to the chosen one.
function showTaken() {
  const list = agentCard.querySelector(".actions"), taken = list?.querySelector(".taken");
  if (taken) list.scrollTop = taken.offsetTop - list.offsetTop - (list.clientHeight - taken.offsetHeight) / 2;
}

function meters(battle, t, i) {
  const unit = recording.units[i], list = element("dl", { class: "meters" });
  const add = (name, kind, value, most, text) =>
    list.append(element("dt", {}, name), meter(kind, value / most), element("dd", {}, text));
  add("Health", "health", health(battle, t, i), unit.health_max, `${Math.ceil(health(battle, t, i))} / ${unit.health_max}`);
  if (unit.shield_max) add("Shields", "shield", shield(battle, t, i), unit.shield_max, `${Math.round(shield(battle, t, i))} / ${unit.shield_max}`);
  const left = charge(battle, t, i);
  if (isMedivac(i)) add("Energy", "charge", left, 200, `${Math.floor(left)} / 200`);
  else add("Weapon", "charge", 30 - left, 30, left > 0.05 ? `in ${(left / recording.loops_per_second).toFixed(1)} s` : "ready");
  return list;
}

function choices(battle, t, i) {
  const taken = action(battle, t, i), rated = battle.advantages !== null;
  const able = [...Array(A).keys()].filter((a) => available(battle, t, i, a));
  const values = able.map((a) => (rated ? advantage(battle, t, i, a) : 0));
  const low = Math.min(0, ...values), high = Math.max(0, ...values), span = high - low || 1;
  const items = able.map((a, k) => {
    const item = element("li", { class: a === taken ? "taken" : "", "data-action": a, "data-target": targetOf(i, a) }, describeAction(i, a));
    if (rated) item.append(bar(values[k], low, span), element("span", { class: "value" }, values[k].toFixed(3)));
    return item;
  });
  const rest = A - able.length, closed = `${rest} ${rest === 1 ? "is" : "are"}`;
  const note = rated
    ? `Advantages of the ${able.length} available actions; ${closed} not available.`
    : `Its ${able.length} available actions; ${closed} not available. No advantages were recorded.`;
  return [
    element("p", { class: "chosen" }, element("span", {}, "Chose "), describeAction(i, taken)),
    element("ul", { class: `actions ${rated ? "" : "plain"}` }, ...items),
    element("p", { class: "note" }, note),
  ];
}

// The target of the action under the pointer, asked anew for every picture: the list changes under a still pointer.
function pointedAt() {
  const item = agentCard.querySelector(".actions li:hover");
  return item ? Number(item.dataset.target) : -1;
}

function bar(value, low, span) {
  const fill = element("i", { class: value > 0 ? "plus" : "" });
  const zero = (100 * -low) / span, width = (100 * Math.abs(value)) / span;
  fill.style.left = `${value > 0 ? zero : zero - width}%`;
  fill.style.width = `${Math.max(width, 1)}%`;
  return element("span", { class: "bar" }, fill);
}

function buildSigns() {
  const signs = document.getElementById("signs"), seen = new Set();
  signs.replaceChildren();
  for (let u = 0; u < U; u++) {
    const key = `${u < N} ${recording.units[u].type}`;
    if (seen.has(key)) continue;
    seen.add(key);
    signs.append(element("dt", {}, chip(u)), element("dd", {}, `${NAMES[recording.units[u].type]}, ${u < N ? "an agent (its number is its id)" : "an enemy"}`));
  }
  signs.append(element("dt", {}, "◯"), element("dd", {}, "inner ring: health; outer, violet: shields"));
}

// Both sides' life over the battle, with a tick for every death.
function drawCurves(battle) {
  const curves = document.getElementById("curves"), T = Math.max(1, battle.steps), H = 100;
  curves.innerHTML = "";
  if (!battle.steps) return;
  curves.setAttribute("viewBox", `0 0 ${T} ${H}`);
  const area = (first, last, color) => {
    const full = recording.units.slice(first, last).reduce((sum, unit) => sum + unit.health_max + unit.shield_max, 0);
    let path = `M0 ${H}`;
    for (let t = 0; t <= battle.steps; t++) path += `L${t} ${(H - (H - 8) * (teamLife(battle, t, first, last) / full)).toFixed(1)}`;
    return `<path d="${path}L${T} ${H}Z" fill="${color}" fill-opacity=".13" stroke="${color}" stroke-width="1.6" vector-effect="non-scaling-stroke"/>`;
  };
  const ticks = battle.deaths.map(({ u, t }) => {
    const top = u < N ? 88 : 0;
    return `<path d="M${t + HIT} ${top}V${top + 12}" stroke="${u < N ? "#5bb8ff" : "#ff8a5c"}" stroke-width="2" vector-effect="non-scaling-stroke"/>`;
  });
  curves.innerHTML = area(N, U, "#ff8a5c") + area(0, N, "#5bb8ff") + ticks.join("");
}

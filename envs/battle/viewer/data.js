// What was recorded, decoded. A frame is what stood before a step; frame `steps` is the last one there is.
const NAMES = {
  marine: "Marine", marauder: "Marauder", medivac: "Medivac", stalker: "Stalker", zealot: "Zealot",
  colossus: "Colossus", hydralisk: "Hydralisk", zergling: "Zergling", baneling: "Baneling",
  spine_crawler: "Spine crawler",
};
recording.units = recording.battles[0].units; // of the battle shown: teams may differ from one to the next
const N = recording.n_agents, A = recording.n_actions, U = recording.units.length;
const FIRST_ATTACK = recording.actions.length; // before it: [name, x, y] of no-op, stop and the moves
const SIGNS = { stop: "■ ", north: "↑ ", south: "↓ ", east: "→ ", west: "← " };

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function int16(text) {
  return new Int16Array(bytes(text).buffer);
}

const FRAME_ROWS = ["x", "y", "health", "shield", "charge", "shot_at"];

// The numbers of a battle, or of some of its steps.
function numbersOf(raw) {
  const numbers = { actions: bytes(raw.actions), avail: bytes(raw.avail), advantages: null };
  for (const name of FRAME_ROWS) numbers[name] = int16(raw[name]);
  if (raw.advantages) numbers.advantages = Float32Array.from(int16(raw.advantages), (value) => value * raw.advantage_scale);
  return numbers;
}

function decode(raw) {
  return withTraces({ ...raw, ...numbersOf(raw) });
}

// Adds the steps that a battle lacks.
function extend(battle, news) {
  const more = numbersOf(news);
  for (const name of [...FRAME_ROWS, "actions", "avail"]) battle[name] = joined(battle[name], more[name]);
  if (more.advantages) battle.advantages = battle.advantages ? joined(battle.advantages, more.advantages) : more.advantages;
  battle.rewards.push(...news.rewards);
  battle.steps = news.steps;
  battle.end = news.end;
  withTraces(battle);
}

function joined(first, second) {
  const both = new first.constructor(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

// What follows from a battle's numbers.
function withTraces(battle) {
  battle.shots = shotsOf(battle);
  battle.deaths = deathsOf(battle);
  battle.facing = facingOf(battle);
  battle.frames = framesOf(battle);
  return battle;
}

const position = (battle, t, u) => [battle.x[t * U + u] / 100, battle.y[t * U + u] / 100];
const health = (battle, t, u) => battle.health[t * U + u] / 10;
const shield = (battle, t, u) => battle.shield[t * U + u] / 10;
const charge = (battle, t, u) => battle.charge[t * U + u] / 10;
const alive = (battle, t, u) => battle.health[t * U + u] > 0;
const action = (battle, t, i) => battle.actions[t * N + i];

function available(battle, t, i, a) {
  const row = Math.ceil((N * A) / 8), bit = i * A + a;
  return (battle.avail[t * row + (bit >> 3)] & (128 >> (bit & 7))) !== 0;
}

function advantage(battle, t, i, a) {
  return battle.advantages[(t * N + i) * A + a];
}

// [steps] lists of {from, to, heals}: what hit in each step.
function shotsOf(battle) {
  return Array.from({ length: battle.steps }, (_, t) => {
    const shots = [];
    for (let u = 0; u < U; u++) {
      const to = battle.shot_at[(t + 1) * U + u];
      if (to >= 0 && alive(battle, t, u)) shots.push({ from: u, to, heals: (u < N) === (to < N) });
    }
    return shots;
  });
}

// [{u, t}]: unit u fell in step t.
function deathsOf(battle) {
  const deaths = [];
  for (let t = 0; t < battle.steps; t++)
    for (let u = 0; u < U; u++) if (alive(battle, t, u) && !alive(battle, t + 1, u)) deaths.push({ u, t });
  return deaths;
}

// [(steps + 1) * U] angles: towards what a unit shoots at, else where it walks.
function facingOf(battle) {
  const facing = new Float32Array((battle.steps + 1) * U);
  for (let u = 0; u < U; u++) facing[u] = u < N ? 0 : Math.PI;
  for (let t = 0; t < battle.steps; t++)
    for (let u = 0; u < U; u++) {
      const [x, y] = position(battle, t, u), to = battle.shot_at[(t + 1) * U + u];
      const [gx, gy] = to >= 0 ? position(battle, t + 1, to) : position(battle, t + 1, u);
      const far = Math.hypot(gx - x, gy - y) > 0.08;
      facing[(t + 1) * U + u] = far ? Math.atan2(gy - y, gx - x) : facing[t * U + u];
    }
  return facing;
}

function unitName(u) {
  const name = NAMES[recording.units[u].type];
  return u < N ? `${name} ${u}` : `${name} ${u - N}`;
}

const isMedivac = (i) => recording.units[i].type === "medivac";

// The unit that an action of agent i is about, or -1.
function targetOf(i, a) {
  if (a < FIRST_ATTACK) return -1;
  return isMedivac(i) ? a - FIRST_ATTACK : N + a - FIRST_ATTACK;
}

function describeAction(i, a) {
  if (a < FIRST_ATTACK) return (SIGNS[recording.actions[a][0]] ?? "") + recording.actions[a][0];
  return `${isMedivac(i) ? "heal" : "attack"} ${unitName(targetOf(i, a))}`;
}

function teamLife(battle, t, first, last) {
  let sum = 0;
  for (let u = first; u < last; u++) sum += alive(battle, t, u) ? health(battle, t, u) + shield(battle, t, u) : 0;
  return sum;
}

function countAlive(battle, t, first, last) {
  let count = 0;
  for (let u = first; u < last; u++) count += alive(battle, t, u);
  return count;
}

function describeSide(first, last) {
  const counts = new Map();
  for (let u = first; u < last; u++) {
    const name = NAMES[recording.units[u].type].toLowerCase();
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => counted(count, name)).join(", ");
}

// "1 enemy", "2 enemies".
function counted(count, name) {
  const plural = { colossus: "colossi", enemy: "enemies" }[name] ?? `${name}s`;
  return `${count} ${count === 1 ? name : plural}`;
}

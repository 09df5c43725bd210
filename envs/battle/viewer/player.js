// Time, playing, and what the reader does.
const battles = recording.battles.map(decode);
const byId = (id) => document.getElementById(id);
const slider = byId("time");
const SPEEDS = [0.5, 1, 2, 4, 8];
const PLAY = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5v14l11-7z"/></svg>';
const PAUSE = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 5h4v14H7zM13 5h4v14h-4z"/></svg>';
const END = {
  won: "Won", lost: "Lost", drawn: "Drawn: both sides fell", time: "Out of time",
  running: feed ? "Playing" : "Recording stopped", left: "Broken off",
};

const state = { battle: battles[0], time: 0, playing: false, speed: 2, selected: -1, orders: true, follows: true, started: false, live: false };
let shown = "";
let lastFrame = 0;

function setTime(time) {
  state.time = Math.min(Math.max(0, time), state.battle.steps);
  slider.value = state.time;
  if (state.time >= state.battle.steps && !state.live) reachEnd();
}

// At the newest step of a battle that goes on, playing means to follow it.
function reachEnd() {
  if (state.playing && isPlayed(state.battle)) setLive(true);
  else setPlaying(false);
}

function setPlaying(playing) {
  if (playing && !state.live && state.time >= state.battle.steps && isPlayed(state.battle)) return setLive(true);
  if (playing && !state.live && state.time >= state.battle.steps) state.time = 0;
  state.playing = playing && (state.live || state.battle.steps > 0);
  state.started ||= state.playing;
  byId("play").innerHTML = state.playing ? PAUSE : PLAY;
  byId("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  byId("big-play").hidden = state.started;
}

// The reader takes the time in hand.
function hold() {
  setLive(false);
  setPlaying(false);
  state.started = true;
  byId("big-play").hidden = true;
}

function togglePlaying() {
  if (state.playing) hold();
  else setPlaying(true);
}

function stepBy(steps) {
  hold();
  setTime(steps > 0 ? Math.floor(state.time + 1e-6) + steps : Math.ceil(state.time - 1e-6) + steps);
}

function select(agent) {
  state.selected = agent === state.selected ? -1 : agent;
  shown = "";
}

// The next agent up or down the list, living ones first.
function selectBeside(direction) {
  const t = Math.floor(state.time);
  for (let away = 1; away <= N; away++) {
    const i = (state.selected < 0 && direction < 0 ? N : state.selected) + direction * away;
    const agent = ((i % N) + N) % N;
    if (alive(state.battle, t, agent) || away === N) {
      if (agent !== state.selected) select(agent);
      return;
    }
  }
}

function cycleSpeed() {
  state.speed = SPEEDS[(SPEEDS.indexOf(state.speed) + 1) % SPEEDS.length];
  byId("speed").textContent = `${state.speed}×`;
}

function toggleOrders() {
  state.orders = !state.orders;
  byId("orders").setAttribute("aria-pressed", String(state.orders));
}

function toggleFollow() {
  state.follows = !state.follows;
  byId("follow").setAttribute("aria-pressed", String(state.follows));
}

function showBattle(battle) {
  state.battle = battle;
  recording.units = battle.units;
  byId("subtitle").textContent = [`${describeSide(0, N)} against ${describeSide(N, U)}`, recording.player].filter(Boolean).join(" · ");
  fillRoster();
  buildSigns();
  state.started = false;
  setPlaying(false);
  setTime(0);
  state.isPlaced = false;
  measureBattle();
  if (team) updateTeam(team);
}

// What changes when a battle goes on: its length, its curves and how it stands.
function measureBattle() {
  const { battle } = state;
  slider.max = battle.steps;
  slider.value = state.time;
  drawCurves(battle);
  const total = battle.rewards.reduce((sum, reward) => sum + reward, 0);
  const outcome = byId("outcome"), number = feed ? `Battle ${battle.episode} · ` : "";
  outcome.textContent = `${number}${END[isLeft(battle) ? "left" : battle.end]} · ${counted(battle.steps, "step")} · return ${total.toFixed(1)}`;
  outcome.dataset.end = battle.end;
  shown = "";
}

// Everything that changes only from step to step.
function updateTexts() {
  const t = Math.floor(state.time + 1e-6), key = `${t} ${state.selected}`;
  if (key === shown) return;
  shown = key;
  const { battle, selected } = state;
  byId("clock").innerHTML = `<span class="label">step </span><b>${t}</b><span class="of"> / ${battle.steps}</span><span class="seconds"> · ${(t * recording.step_s).toFixed(1)} s</span>`;
  slider.setAttribute("aria-valuetext", `step ${t} of ${battle.steps}`);
  const agents = countAlive(battle, t, 0, N), enemies = countAlive(battle, t, N, U);
  const side = (count, name, kind) => `<b class="${kind}">${count}</b> ${counted(count, name).split(" ")[1]}`;
  byId("hud-sides").innerHTML = `${side(agents, "agent", "agents")} · ${side(enemies, "enemy", "enemies")}`;
  canvas.setAttribute("aria-label", `Step ${t}: ${agents} of ${N} agents and ${enemies} of ${U - N} enemies alive`);
  updateRoster(battle, t, selected);
  updateAgent(battle, t, selected);
}

function frame(now) {
  const passed = Math.min(0.1, (now - lastFrame) / 1000);
  lastFrame = now;
  if (state.live) goLive(passed);
  else if (state.playing) setTime(state.time + (passed * state.speed) / recording.step_s);
  updateTexts();
  const moment = momentOf(state.battle, state.time);
  moveCamera(wantedBox(moment, state.selected, state.follows), state.isPlaced ? passed : null);
  state.isPlaced = true;
  drawMoment(moment, state.selected, state.orders);
  requestAnimationFrame(frame);
}

const KEYS = {
  " ": togglePlaying,
  ArrowLeft: () => stepBy(-1),
  ArrowRight: () => stepBy(1),
  ArrowUp: () => selectBeside(-1),
  ArrowDown: () => selectBeside(1),
  Home: () => { hold(); setTime(0); },
  End: () => { hold(); setTime(state.battle.steps); },
  Escape: () => state.selected >= 0 && select(-1),
  o: toggleOrders,
  s: () => feed || cycleSpeed(),
  z: toggleFollow,
  l: () => feed && setLive(true),
  "?": () => byId("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (event.target.tagName === "SELECT" || (event.target.tagName === "SUMMARY" && event.key === " ")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function onField(event) {
  const box = canvas.getBoundingClientRect();
  const unit = unitAt(momentOf(state.battle, state.time), event.clientX - box.left, event.clientY - box.top);
  if (unit >= 0 && unit < N) select(unit);
  else if (unit < 0 && state.selected >= 0) select(-1);
}

function start() {
  byId("notes").append(...recording.map.notes.map((note) => element("li", {}, note)));
  battles.forEach((battle, i) => byId("battle").append(element("option", { value: i }, `${battle.episode}: ${END[battle.end].toLowerCase()}, ${battle.steps} steps`)));
  createRoster(select);
  agentCard.querySelector(".close").addEventListener("click", () => select(-1));
  document.querySelector(".battle-choice").hidden = battles.length < 2;
  byId("battle").addEventListener("change", (event) => showBattle(battles[Number(event.target.value)]));
  byId("play").addEventListener("click", togglePlaying);
  byId("big-play").addEventListener("click", () => setPlaying(true));
  byId("back").addEventListener("click", () => stepBy(-1));
  byId("forward").addEventListener("click", () => stepBy(1));
  byId("orders").addEventListener("click", toggleOrders);
  byId("follow").addEventListener("click", toggleFollow);
  byId("speed").addEventListener("click", cycleSpeed);
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  slider.addEventListener("input", () => { const time = Number(slider.value); hold(); setTime(time); });
  canvas.addEventListener("click", onField);
  document.addEventListener("keydown", onKey);
  new ResizeObserver(fitStage).observe(document.querySelector(".stage"));
  byId("speed").textContent = `${state.speed}×`;
  fitStage();
  showBattle(battles[0]);
  if (feed) watch();
  requestAnimationFrame(frame);
}

// For tests and the curious: where a unit is on the screen now.
window.battlePage = {
  state,
  place(unit) {
    const box = canvas.getBoundingClientRect(), [x, y] = toPixels(...momentOf(state.battle, state.time).places[unit]);
    return [box.left + x, box.top + y];
  },
};
start();

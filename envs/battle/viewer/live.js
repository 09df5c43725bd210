// Battles that are being played: their news, and the time that follows them.
const CLOSE_STEPS = 1.5; // nearer than this, time goes as fast as in the game; farther, twice as fast
const REST_S = 1.6; // how long the end of a battle stays
let newest = null;
let rested = 0;

function watch() {
  newest = battles[0];
  document.body.classList.add("live");
  byId("live").hidden = false;
  byId("speed").hidden = true;
  byId("live").addEventListener("click", () => setLive(true));
  feed.addEventListener("battle", (event) => (newest = decode(JSON.parse(event.data))));
  feed.addEventListener("news", (event) => {
    extend(newest, JSON.parse(event.data));
    if (newest === state.battle) measureBattle();
  });
  feed.addEventListener("team", (event) => showTeam(JSON.parse(event.data)));
  feed.addEventListener("open", () => setGone(false));
  feed.addEventListener("error", () => setGone(true));
  setLive(true);
}

// Whether a battle is still being played, and whether it never came to its end.
const isPlayed = (battle) => feed !== null && battle === newest && battle.end === "running" && !team?.over;
const isLeft = (battle) => feed !== null && battle.end === "running" && !isPlayed(battle);

function setGone(gone) {
  byId("tally").classList.toggle("gone", gone);
  if (gone) byId("tally").textContent = "The host does not answer; trying again";
  isGone = gone;
  if (team) updateTeam(team);
}

// Follow what is played, from its newest step on; or leave the time to the reader.
function setLive(live) {
  if (!feed) return;
  state.live = live;
  byId("live").setAttribute("aria-pressed", String(live));
  if (!live) return;
  if (state.battle !== newest) showBattle(newest);
  setPlaying(true);
  setTime(newest.end === "running" ? newest.steps : state.time);
}

// Let `passed` seconds pass: towards the newest step, and from the end of a battle to the newest battle.
function goLive(passed) {
  const { battle } = state, away = battle.steps - state.time;
  if (away > 0) {
    const pace = away > CLOSE_STEPS ? 2 : 1;
    setTime(state.time + (passed * pace) / recording.step_s);
    rested = 0;
    return;
  }
  rested += passed;
  if (newest === battle || (rested < REST_S && battle.end !== "running")) return;
  showBattle(newest);
  setPlaying(true);
  rested = 0;
}

function showTeam(news) {
  updateTeam(news);
  byId("tally").textContent = news.over ? `Over: ${news.won} of ${counted(news.played, "battle")} won` : `${news.played} of ${news.wanted} played · ${news.won} won`;
  if (news.over) endFeed();
}

// Nothing more comes; what there is of the battle may be played to its end.
function endFeed() {
  feed.close();
  setLive(false);
  byId("live").hidden = true;
  if (state.time >= state.battle.steps) setPlaying(false);
  measureBattle();
}

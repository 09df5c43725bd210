// Battles that are being played: their news, and the time that follows them.
const CLOSE_STEPS = 1.5; // nearer than this, time goes as fast as in the game; farther, twice as fast
const REST_S = 1.6; // how long the end of a battle stays
let newest = null;
let rested = 0;

function watch() {
  newest = battles[0];
  for (const node of document.querySelectorAll(".only-live")) node.style.display = "revert";
  byId("live").hidden = false;
  byId("speed").hidden = true;
  byId("live").addEventListener("click", () => setLive(true));
  feed.addEventListener("battle", (event) => (newest = decode(JSON.parse(event.data))));
  feed.addEventListener("news", (event) => {
    extend(newest, JSON.parse(event.data));
    if (newest === state.battle) measureBattle();
  });
  feed.addEventListener("team", (event) => showTeam(JSON.parse(event.data)));
  feed.addEventListener("open", () => byId("tally").classList.remove("gone"));
  feed.addEventListener("error", () => {
    byId("tally").textContent = "The host does not answer; trying again";
    byId("tally").classList.add("gone");
  });
  setLive(true);
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
  const number = Math.min(news.played + 1, news.wanted);
  byId("tally").textContent = news.over ? `Over: ${news.won} of ${counted(news.played, "battle")} won` : `Battle ${number} of ${news.wanted} · ${news.won} won`;
  if (news.over) feed.close();
}

// Opens the page: with what was recorded, or with the first battle that the feed tells of.
{
  const opened = JSON.parse(document.getElementById("data").textContent);
  if (opened.live) waitForBattle(opened);
  else showBattles(opened, null);
}

function waitForBattle(opened) {
  const feed = new EventSource(opened.live);
  const say = (text) => (document.getElementById("subtitle").textContent = text);
  const wait = () => say("Waiting for the first battle; the simulator compiles before its very first one");
  const gone = () => say("The host does not answer; trying again");
  wait();
  feed.addEventListener("open", wait);
  feed.addEventListener("error", gone);
  feed.addEventListener("game", (event) => {
    if (JSON.parse(event.data).game === opened.game) return;
    feed.close(); // its battles may be on another map
    location.reload();
  });
  feed.addEventListener("battle", (event) => {
    feed.removeEventListener("open", wait);
    feed.removeEventListener("error", gone);
    opened.battles = [JSON.parse(event.data)];
    showBattles(opened, feed);
  }, { once: true });
}

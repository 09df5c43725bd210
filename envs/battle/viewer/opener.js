// Opens the page: with what was recorded, or with the first battle that the feed tells of.
{
  const opened = JSON.parse(document.getElementById("data").textContent);
  if (!opened.live) showBattles(opened, null);
  else {
    const feed = new EventSource(opened.live), subtitle = document.getElementById("subtitle");
    subtitle.textContent = "Waiting for the first battle";
    feed.addEventListener("error", () => (subtitle.textContent = "The host does not answer; trying again"), { once: true });
    feed.addEventListener("battle", (event) => {
      opened.battles = [JSON.parse(event.data)];
      showBattles(opened, feed);
    }, { once: true });
  }
}

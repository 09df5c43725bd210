// Each agent's process, as the host reaches it now, whatever moment of a battle is shown. Only on a live page.
let team = null;
let isGone = false; // the host
const PATIENCE_S = 0.25; // a step that waits longer for its answer is worth saying

// {kind, text} of an agent's process.
function linkState(link) {
  if (isGone || team.over) return { kind: "gone", text: team.over ? "ended" : "not known" };
  if (link.lost !== null) return { kind: "lost", text: "lost" };
  if (link.waits_s > PATIENCE_S) return { kind: "late", text: `no answer for ${link.waits_s.toFixed(1)} s` };
  if (link.latency_ms === null) return { kind: link.steps ? "late" : "up", text: link.steps ? "missed a step" : "there" };
  return { kind: "up", text: `${link.latency_ms.toFixed(1)} ms` };
}

function showLink(node, link, name = "") {
  const { kind, text } = linkState(link), missed = link.missed ? ` · ${link.missed} missed` : "";
  node.className = `link ${kind}`;
  node.textContent = `${name}${text}${missed}`;
  node.title = link.address;
}

function updateTeam(news) {
  team = news;
  if (!team.agents.length) return;
  for (const button of roster.children) showLink(button.querySelector(".link"), team.agents[Number(button.dataset.agent)]);
  updateConnection(state.selected);
  const list = document.getElementById("enemy-links");
  document.getElementById("opponents").hidden = !team.enemies.length;
  while (list.children.length < team.enemies.length) list.append(element("li", {}, element("span")));
  team.enemies.forEach((link, i) => showLink(list.children[i].firstChild, link, `${i}: `));
}

// The selected agent's process in full, on its card.
function updateConnection(selected) {
  const list = agentCard.querySelector(".connection"), link = team?.agents[selected];
  if (!list || !link) return;
  const { kind, text } = linkState(link);
  const facts = [
    ["Process at", link.address],
    ["Last answer", kind === "lost" ? `none, lost: ${link.lost}` : text],
    ["Missed", `${link.missed} of ${counted(link.steps, "step")}`],
    ["Reconnects", String(link.reconnects)],
  ];
  list.replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

// The page of the console: asks /api/v1 once a second while it is visible and shows what it is told.
// Every text from the API is set as text, never as markup. The token stays in this tab.
"use strict";
const $ = id => document.getElementById(id);
const EVENTS_SHOWN = 30;
const DEVICE_EVENTS = ["register", "reregister", "unregister", "expire", "refused", "refresh"];
let token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
let after = null;
let timer = 0;

async function ask(path) {
  const answer = await fetch("/api/v1" + path, { headers: { Authorization: "Bearer " + token } });
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail + (body.remedy ? "; " + body.remedy : "")), { status: answer.status });
  return body;
}
function cell(row, text, kind) {
  const td = row.insertCell();
  td.textContent = text;
  if (kind) td.className = kind;
}
function counts(map) {
  return Object.entries(map).filter(([, n]) => n !== 0).map(([k, n]) => k + " " + n).join(", ") || "nobody";
}
function showRanks(r) {
  const bar = $("ranks");
  const text = "all " + r.total + ": " + ["1", "2", "3"].map(k => "rank " + k + ": " + (r.by_rank[k] || 0)).join(", ");
  bar.replaceChildren(...["1", "2", "3"].map(k => {
    const part = document.createElement("span");
    part.className = "rank" + k;
    part.style.flexGrow = r.by_rank[k] || 0;
    return part;
  }));
  bar.setAttribute("aria-label", text);
  $("ranks-text").textContent = text;
}
function show(s) {
  $("cluster").textContent = s.cluster;
  $("line").textContent = "Answered by " + (s.answered_by || "no node") + ", configuration " + s.config_revision
    + (s.quarantined ? ", " + s.quarantined + " devices in quarantine" : "") + ".";
  showRanks(s.registrations);
  const nodes = $("nodes");
  nodes.replaceChildren();
  const split = [];
  for (const n of s.nodes) {
    const row = nodes.insertRow();
    const views = Object.entries(n.seen_by);
    if (new Set(views.map(([, v]) => v)).size > 1) split.push(n.name);
    cell(row, n.name);
    cell(row, n.state, n.state);
    cell(row, n.incarnation, "number");
    cell(row, n.publisher ? "publisher" : "subscriber");
    cell(row, n.registrations, "number");
    cell(row, views.map(([k, v]) => k + " " + v).join(", "));
  }
  const groups = $("groups");
  groups.replaceChildren();
  for (const g of s.groups) {
    const row = groups.insertRow();
    cell(row, g.name);
    cell(row, g.members.join(" > "));
    cell(row, g.devices, "number");
    cell(row, counts(g.by_node));
    cell(row, g.policy);
  }
  $("warning").hidden = split.length === 0;
  $("warning").textContent = "The nodes do not agree about " + split.join(", ") + ".";
}
function showEvents(page) {
  const list = $("events");
  if (page.restarted) list.replaceChildren();
  for (const e of page.events) {
    if (!$("devices").checked && DEVICE_EVENTS.includes(e.kind)) continue;
    const item = document.createElement("li");
    item.value = e.sequence;
    item.textContent = new Date(e.at).toISOString().slice(11, 19) + "Z " + e.text;
    list.prepend(item);
  }
  while (list.children.length > EVENTS_SHOWN) list.lastChild.remove();
  after = page.next;
}
async function refresh() {
  clearTimeout(timer);
  try {
    if (!document.hidden) {
      show(await ask("/status"));
      showEvents(await ask("/events?" + (after === null ? "last=1000" : "after=" + after)));
      $("login").hidden = true;
      $("board").hidden = false;
      sessionStorage.setItem("token", token);
    }
  } catch (error) {
    $("line").textContent = error.status ? error.message : "The process does not answer; trying again.";
    if (error.status === 401) {
      sessionStorage.removeItem("token");
      $("board").hidden = true;
      $("login").hidden = false;
      $("token").focus();
      return;
    }
  }
  timer = setTimeout(refresh, 1000);
}
$("login").addEventListener("submit", event => {
  event.preventDefault();
  token = $("token").value.trim();
  refresh();
});
$("devices").addEventListener("change", () => {
  $("events").replaceChildren();
  after = null;
  refresh();
});
document.addEventListener("visibilitychange", () => document.hidden || refresh());
// The token must not stay in the address, where it would be copied along with it.
if (location.hash) history.replaceState(null, "", location.pathname);
if (token) refresh(); else { $("login").hidden = false; $("line").textContent = "Paste the control token to connect."; }

"use strict";
(() => {
const began = performance.now();
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const S = D.strings;
const FREE = 0, USED = 1, SHARE = 2, ADMIN = 3, TAINTED = 4, BLOCKED = 5, ABSENT = 6;
const STATES = ["free", "in use", "shared", "admin access only", "tainted", "blocked by counters", "not there"];
const COLOURS = ["--free", "--used", "--share", "--admin", "--taint", "--blocked", "--absent"];
const NEVER = 1 << 30;
const PAGE = 100;
const nodeCount = D.nodes.name.length, deviceCount = D.devices.name.length, podCount = D.pods.name.length;

// Elements are filled with text only, so that no name can become markup.
function make(tag, text, parent, className) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  if (className) element.className = className;
  if (parent) parent.append(element);
  return element;
}
function button(text, parent, action, className) {
  const element = make("button", text, parent, className);
  element.type = "button";
  element.addEventListener("click", action);
  return element;
}

// Devices of node n are those from first[n] to first[n + 1].
const first = D.nodes.first;
const nodeOf = new Int32Array(deviceCount);
for (let n = 0; n < nodeCount; n++) for (let d = first[n]; d < first[n + 1]; d++) nodeOf[d] = n;
const podName = p => (D.pods.namespace[p] < 0 ? "" : S[D.pods.namespace[p]] + "/") + D.pods.name[p];
const poolName = d => D.devices.pool[d] < 0 ? D.nodes.name[nodeOf[d]] : S[D.devices.pool[d]];
const deviceName = d => S[D.devices.driver[d]] + "/" + poolName(d) + "/" + S[D.devices.name[d]];

// Uses: six numbers each: device, pod, first step, step of its end or -1, kind, share in thousandths.
const U = D.uses, useCount = U.length / 6;
const usesOf = Array.from({length: deviceCount}, () => null), podUses = new Map();
for (let u = 0; u < useCount; u++) {
  (usesOf[U[6 * u]] ||= []).push(u);
  const p = U[6 * u + 1];
  if (podUses.has(p)) podUses.get(p).push(u); else podUses.set(p, [u]);
}
const podsOf = Array.from({length: nodeCount}, () => null);
for (let p = 0; p < podCount; p++) { const n = D.pods.node[p]; if (n >= 0) (podsOf[n] ||= []).push(p); }
const active = (from, end, step) => from <= step && (end < 0 || step < end);
const podIsThere = (p, step) => active(D.pods.from[p], D.pods.end[p] ?? -1, step);

// The state of every device at a step.
function statesAt(step) {
  const state = new Uint8Array(deviceCount), share = new Uint16Array(deviceCount);
  for (let u = 0; u < useCount; u++) {
    if (!active(U[6 * u + 2], U[6 * u + 3], step)) continue;
    const d = U[6 * u], kind = U[6 * u + 4];
    if (kind === 0) state[d] = USED;
    else if (kind === 1) { if (state[d] !== USED) state[d] = SHARE; share[d] = Math.min(1000, share[d] + U[6 * u + 5]); }
    else if (state[d] === FREE) state[d] = ADMIN;
  }
  const B = D.blocked;
  for (let b = 0; b < B.length; b += 3) if (active(B[b + 1], B[b + 2], step) && state[B[b]] === FREE) state[B[b]] = BLOCKED;
  for (const d of D.tainted) if (state[d] === FREE) state[d] = TAINTED;
  const A = D.absent;
  for (let a = 0; a < A.length; a += 3) if (active(A[a + 1], A[a + 2], step)) state[A[a]] = ABSENT;
  return {state, share};
}
const usersAt = (d, step) => (usesOf[d] || []).filter(u => active(U[6 * u + 2], U[6 * u + 3], step)).map(u => U[6 * u + 1]).join();

let step = D.startStep, now = statesAt(step), before = statesAt(0);
let selected = -1, openPod = -1, hidden = new Set(), outcome = -1, page = 0, terms = [], matching = null, playing = 0;

// --- Map ----------------------------------------------------------------------------------------------------
const canvas = $("map"), scroll = $("scroll"), spacer = $("spacer"), context = canvas.getContext("2d");
let tiles = [], headings = [], cell = 8, total = 0, palette = {};
const GAP = 2, PAD = 3;
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  for (const name of [...COLOURS, "--ink", "--soft", "--line", "--accent", "--card"]) palette[name] = style.getPropertyValue(name).trim();
}
function layout() {
  const width = Math.max(240, scroll.clientWidth || 800);
  const named = nodeCount <= 300;
  cell = nodeCount <= 12 ? 22 : nodeCount <= 40 ? 17 : nodeCount <= 300 ? 13 : nodeCount <= 1500 ? 9 : 6;
  tiles = []; headings = [];
  let y = 8;
  for (let g = 0; g < D.groups.length; g++) {
    const members = D.groups[g].nodes;
    headings.push({y, text: D.groups[g].name, count: members.length});
    y += 24;
    let x = 10, rowHeight = 0;
    for (const n of members) {
      const count = first[n + 1] - first[n];
      const across = Math.max(1, Math.min(count <= 5 ? count : Math.ceil(Math.sqrt(count * 2)), Math.floor((width - 24) / (cell + GAP))));
      const rows = Math.max(1, Math.ceil(count / across));
      const w = Math.max(across * (cell + GAP) - GAP + 2 * PAD, named ? 92 : 0), h = rows * (cell + GAP) - GAP + 2 * PAD + (named ? 16 : 0);
      if (x + w > width - 8 && x > 10) { x = 10; y += rowHeight + 6; rowHeight = 0; }
      tiles.push({n, x, y, w, h, across, top: named ? 16 : 0});
      x += w + 6; rowHeight = Math.max(rowHeight, h);
    }
    y += rowHeight + 16;
  }
  total = y;
  spacer.style.height = total + "px";
  draw();
}
const HUES = [210, 28, 150, 330, 265, 48, 185, 5, 95, 300];
function hue(number) { return `hsl(${HUES[number % HUES.length]} ${number < HUES.length ? 60 : 30}% 55%)`; }
function fill(d) {
  const s = now.state[d], mode = $("colour").value;
  if (mode === "type") return s === FREE || s === TAINTED || s === BLOCKED ? palette[COLOURS[s]] : hue(D.devices.type[d]);
  if (mode === "owner" && (s === USED || s === SHARE || s === ADMIN)) {
    const u = usesOf[d].find(u => active(U[6 * u + 2], U[6 * u + 3], step));
    const p = u === undefined ? -1 : U[6 * u + 1];
    return p < 0 || D.pods.namespace[p] < 0 ? palette["--soft"] : hue(D.pods.namespace[p]);
  }
  return palette[COLOURS[s]];
}
function draw() {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(240, scroll.clientWidth || 800), height = Math.min(total, Math.max(120, scroll.clientHeight || 600));
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    canvas.style.width = width + "px"; canvas.style.height = height + "px";
  }
  const offset = scroll.scrollTop;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.translate(0, -offset);
  context.textBaseline = "middle";
  context.font = "600 13px system-ui, sans-serif";
  for (const heading of headings) {
    if (heading.y + 24 < offset || heading.y > offset + height) continue;
    context.fillStyle = palette["--ink"];
    context.fillText(heading.text, 10, heading.y + 11);
    const at = context.measureText(heading.text).width + 18;
    context.fillStyle = palette["--soft"];
    context.fillText(heading.count === 1 ? "1 node" : heading.count + " nodes", at, heading.y + 11);
  }
  context.font = "12px system-ui, sans-serif";
  const marks = $("changes").checked;
  for (const tile of tiles) {
    if (tile.y + tile.h < offset || tile.y > offset + height) continue;
    const n = tile.n;
    context.globalAlpha = !matching || matching.nodes[n] ? 1 : 0.16;
    context.strokeStyle = palette["--line"];
    context.lineWidth = 1;
    context.strokeRect(tile.x + .5, tile.y + .5, tile.w - 1, tile.h - 1);
    if (tile.top) {
      context.fillStyle = palette["--soft"];
      let name = D.nodes.name[n];
      if (context.measureText(name).width > tile.w - 8) {
        while (name && context.measureText("…" + name).width > tile.w - 8) name = name.slice(1);
        name = "…" + name;
      }
      context.fillText(name, tile.x + 4, tile.y + 9);
    }
    for (let d = first[n]; d < first[n + 1]; d++) {
      const s = now.state[d];
      const i = d - first[n], x = tile.x + PAD + (i % tile.across) * (cell + GAP), y = tile.y + PAD + tile.top + Math.floor(i / tile.across) * (cell + GAP);
      if (hidden.has(s)) { context.strokeStyle = palette["--line"]; context.strokeRect(x + .5, y + .5, cell - 1, cell - 1); continue; }
      context.fillStyle = fill(d);
      context.fillRect(x, y, cell, cell);
      if (s === SHARE && now.share[d] > 0 && $("colour").value === "state") {
        const part = Math.max(1, Math.round(cell * now.share[d] / 1000));
        context.fillStyle = palette["--used"];
        context.fillRect(x, y + cell - part, cell, part);
      }
      if (s === BLOCKED || s === TAINTED) {
        context.strokeStyle = palette["--card"];
        context.beginPath(); context.moveTo(x, y + cell); context.lineTo(x + cell, y);
        if (s === TAINTED) { context.moveTo(x, y); context.lineTo(x + cell, y + cell); }
        context.stroke();
      }
      if (marks && usersAt(d, 0) !== usersAt(d, step)) {
        context.strokeStyle = palette["--accent"]; context.lineWidth = 2;
        context.strokeRect(x + 1, y + 1, cell - 2, cell - 2); context.lineWidth = 1;
      }
    }
    if (n === selected) {
      context.globalAlpha = 1; context.strokeStyle = palette["--accent"]; context.lineWidth = 2;
      context.strokeRect(tile.x - 1, tile.y - 1, tile.w + 2, tile.h + 2); context.lineWidth = 1;
    }
  }
  context.globalAlpha = 1;
}
let pendingDraw = 0;
function drawSoon() { if (!pendingDraw) pendingDraw = requestAnimationFrame(() => { pendingDraw = 0; draw(); }); }
const tileOf = n => tiles.find(tile => tile.n === n);
function show(tile) {
  if (tile.y < scroll.scrollTop) scroll.scrollTop = tile.y - 8;
  else if (tile.y + tile.h > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = tile.y + tile.h - scroll.clientHeight + 8;
}
function select(n, quiet) {
  selected = n; openPod = -1;
  const tile = tileOf(n);
  if (tile) show(tile);
  detail(); drawSoon(); remember();
  if (!quiet) say(nodeSentence(n));
}
function nodeSentence(n) {
  const counts = new Map();
  for (let d = first[n]; d < first[n + 1]; d++) counts.set(now.state[d], (counts.get(now.state[d]) || 0) + 1);
  const parts = [...counts].sort((a, b) => a[0] - b[0]).map(([s, count]) => `${count} ${STATES[s]}`);
  return `${D.nodes.name[n]}: ${parts.join(", ") || "no devices"}`;
}
function say(text) { $("said").textContent = text; }
function move(dx, dy) {
  const shown = tiles.filter(tile => !matching || matching.nodes[tile.n]);
  if (!shown.length) return;
  const current = shown.findIndex(tile => tile.n === selected);
  if (current < 0) return select(shown[0].n);
  if (dx) return select(shown[Math.max(0, Math.min(shown.length - 1, current + dx))].n);
  const from = shown[current], middle = from.x + from.w / 2;
  let best = null;
  for (const tile of shown) {
    const down = tile.y - from.y;
    if (down * dy <= 0) continue;
    const cost = Math.abs(down) * 1000 + Math.abs(tile.x + tile.w / 2 - middle);
    if (!best || cost < best.cost) best = {tile, cost};
  }
  if (best) select(best.tile.n);
}
canvas.addEventListener("keydown", event => {
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (moves) { event.preventDefault(); move(...moves); }
  else if (event.key === "Enter" && selected >= 0) { event.preventDefault(); $("detail").focus(); }
});
canvas.addEventListener("focus", () => { if (selected < 0 && tiles.length) select(tiles[0].n); });
canvas.addEventListener("click", event => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top + scroll.scrollTop;
  const tile = tiles.find(tile => x >= tile.x && x < tile.x + tile.w && y >= tile.y && y < tile.y + tile.h);
  if (tile) select(tile.n);
});
scroll.addEventListener("scroll", drawSoon);

// --- Details ------------------------------------------------------------------------------------------------
function bar(parent, name, used, all, unit) {
  if (!all) return;
  const round = value => Math.round(value * 10) / 10;
  make("div", `${name}: ${round(used / unit[0])} of ${round(all / unit[0])} ${unit[1]}`, parent, "soft");
  const outer = make("div", null, parent, "bar"), inner = make("i", null, outer);
  inner.style.width = Math.min(100, 100 * used / all) + "%";
}
function podLink(p, parent) { return button(podName(p), parent, () => choosePod(p), "link"); }
function detail() {
  const box = $("detail");
  box.replaceChildren();
  if (openPod >= 0) return podDetail(box, openPod);
  if (selected < 0) { make("p", "Choose a node on the map or a pod in the table.", box, "soft"); return; }
  const n = selected;
  make("h3", D.nodes.name[n], box);
  const here = (podsOf[n] || []).filter(p => podIsThere(p, step));
  const need = here.reduce((sum, p) => [sum[0] + D.pods.cpu[p], sum[1] + D.pods.memory[p]], [0, 0]);
  if (D.nodes.note[n] >= 0) make("p", S[D.nodes.note[n]], box, "warn");
  bar(box, "CPU", need[0], D.nodes.cpu[n], [1000, "CPUs"]);
  bar(box, "Memory", need[1], D.nodes.memory[n], [1024, "GiB"]);
  const count = first[n + 1] - first[n];
  make("h4", count ? `Devices (${count})` : "No devices", box);
  if (count) {
    const body = make("tbody", null, make("table", null, box));
    for (let d = first[n]; d < first[n + 1]; d++) {
      const row = make("tr", null, body), name = make("td", S[D.devices.name[d]], row);
      name.title = deviceName(d) + " · " + S[D.devices.type[d]];
      const state = make("td", null, row), swatch = make("span", null, state, "swatch");
      swatch.style.background = `var(${COLOURS[now.state[d]]})`;
      state.append(" " + STATES[now.state[d]] + (now.state[d] === SHARE && now.share[d] ? ` ${Math.round(now.share[d] / 10)} %` : ""));
      const users = make("td", null, row);
      for (const u of usesOf[d] || []) if (active(U[6 * u + 2], U[6 * u + 3], step)) {
        if (users.childNodes.length) make("br", null, users);
        podLink(U[6 * u + 1], users);
      }
    }
  }
  const without = here.filter(p => !podUses.has(p));
  if (without.length) {
    make("h4", `Pods without devices (${without.length})`, box);
    without.slice(0, 50).forEach(p => { podLink(p, make("div", null, box)); });
    if (without.length > 50) make("div", `and ${without.length - 50} more`, box, "soft");
  }
}
function podDetail(box, p) {
  make("h3", podName(p), box);
  const kind = D.outcomes[D.pods.outcome[p]];
  const line = make("p", null, box);
  make("b", kind.name, line, kind.tone);
  const n = D.pods.node[p];
  if (n >= 0) { line.append(" on "); button(D.nodes.name[n], line, () => select(n), "link"); }
  if (D.pods.cpu[p] || D.pods.memory[p]) make("p", `requests ${D.pods.cpu[p] / 1000} CPUs, ${Math.round(D.pods.memory[p] / 10.24) / 100} GiB`, box, "soft");
  if (D.pods.message[p] >= 0) make("pre", S[D.pods.message[p]], box);
  const held = podUses.get(p) || [];
  if (held.length) {
    make("h4", `Devices (${held.length})`, box);
    for (const u of held) make("div", deviceName(U[6 * u]) + (U[6 * u + 4] === 1 && U[6 * u + 5] ? ` · ${U[6 * u + 5] / 10} %` : "") + (U[6 * u + 4] === 2 ? " · admin access" : ""), box);
  }
  const why = D.pods.why[p];
  if (why >= 0) {
    make("h4", "Why no node took it", box);
    const body = make("tbody", null, make("table", null, box));
    for (const [plugin, reason, nodes, nearest, missing, failures] of D.why[why].reasons) {
      const row = make("tr", null, body);
      make("td", nodes === 1 ? "1 node" : `${nodes} nodes`, row); 
      const text = make("td", `${plugin}: ${reason}`, row);
      if (nearest) make("div", `nearest ${nearest}: ${missing}`, text, "soft");
      for (const failure of failures) make("div", failure, text, "soft");
    }
    for (const text of D.why[why].texts) make("pre", text, box);
  }
}
function choosePod(p) {
  if (p < 0) return;
  openPod = p;
  const n = D.pods.node[p];
  if (n >= 0) { selected = n; const tile = tileOf(n); if (tile) show(tile); }
  detail(); drawSoon(); remember();
  say(`${podName(p)}: ${D.outcomes[D.pods.outcome[p]].name}`);
}

// --- Filter, table, legend ----------------------------------------------------------------------------------
const podText = p => `${podName(p)} ${D.outcomes[D.pods.outcome[p]].name}`.toLowerCase();
const nodeText = Array.from({length: nodeCount}, (_, n) => {
  const words = new Set([D.nodes.name[n]]);
  for (let d = first[n]; d < first[n + 1]; d++) words.add(S[D.devices.type[d]]).add(S[D.devices.driver[d]]);
  return [...words].join(" ").toLowerCase();
});
function applyFilter() {
  terms = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  page = 0;
  if (!terms.length) matching = null;
  else {
    matching = {nodes: new Uint8Array(nodeCount), pods: new Uint8Array(podCount)};
    const has = text => terms.every(term => text.includes(term));
    for (let n = 0; n < nodeCount; n++) if (has(nodeText[n])) matching.nodes[n] = 1;
    for (let d = 0; d < deviceCount; d++) if (!matching.nodes[nodeOf[d]] && has(deviceName(d).toLowerCase())) matching.nodes[nodeOf[d]] = 1;
    for (let p = 0; p < podCount; p++) {
      const n = D.pods.node[p];
      if (has(podText(p) + (n >= 0 ? " " + D.nodes.name[n].toLowerCase() : ""))) { matching.pods[p] = 1; if (n >= 0) matching.nodes[n] = 1; }
    }
  }
  table(); drawSoon(); remember();
}
function table() {
  const rows = [];
  for (let p = 0; p < podCount; p++) if ((outcome < 0 || D.pods.outcome[p] === outcome) && (!matching || matching.pods[p])) rows.push(p);
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  page = Math.min(page, pages - 1);
  $("matching").textContent = rows.length === podCount ? `${podCount}` : `${rows.length} of ${podCount}`;
  $("page").textContent = `${page + 1} of ${pages}`;
  $("pages").hidden = pages === 1;
  $("back").disabled = page === 0; $("more").disabled = page === pages - 1;
  const body = $("pods").tBodies[0];
  body.replaceChildren();
  for (const p of rows.slice(page * PAGE, (page + 1) * PAGE)) {
    const row = make("tr", null, body), kind = D.outcomes[D.pods.outcome[p]];
    podLink(p, make("td", null, row));
    make("td", kind.name, row, kind.tone);
    const n = D.pods.node[p], place = make("td", null, row);
    if (n >= 0) button(D.nodes.name[n], place, () => select(n), "link");
    const held = podUses.get(p) || [];
    make("td", held.slice(0, 4).map(u => S[D.devices.name[U[6 * u]]]).join(", ") + (held.length > 4 ? ` and ${held.length - 4} more` : ""), row);
    make("td", D.pods.message[p] >= 0 ? S[D.pods.message[p]] : "", row);
  }
}
function legend() {
  const counts = new Array(STATES.length).fill(0), list = $("legend");
  for (let d = 0; d < deviceCount; d++) counts[now.state[d]]++;
  list.replaceChildren();
  STATES.forEach((name, s) => {
    if (!counts[s] && s > SHARE) return;
    const item = button(null, make("li", null, list), () => { hidden.has(s) ? hidden.delete(s) : hidden.add(s); legend(); drawSoon(); });
    item.setAttribute("aria-pressed", String(!hidden.has(s)));
    make("span", null, item, "swatch").style.background = `var(${COLOURS[s]})`;
    item.append(`${name} ${counts[s]}`);
  });
}
function outcomes() {
  const box = $("outcomes"), counts = D.outcomes.map(() => 0);
  for (let p = 0; p < podCount; p++) counts[D.pods.outcome[p]]++;
  const add = (text, value) => {
    const item = button(text, box, () => { outcome = value; page = 0; for (const other of box.children) other.setAttribute("aria-pressed", String(other === item)); table(); });
    item.setAttribute("aria-pressed", String(outcome === value));
  };
  add("all", -1);
  D.outcomes.forEach((kind, at) => { if (counts[at]) add(`${kind.name} ${counts[at]}`, at); });
}

// --- Timeline -----------------------------------------------------------------------------------------------
const podOfStep = new Map();
for (let p = 0; p < podCount; p++) if (D.pods.from[p] > 0 && !D.steps) podOfStep.set(D.pods.from[p], p);
function stepLabel() {
  if (D.steps) return D.steps[step] || "";
  if (step === 0) return "before";
  const p = podOfStep.get(step);
  return `${step} of ${D.lastStep}` + (p === undefined ? "" : `: ${podName(p)}, ${D.outcomes[D.pods.outcome[p]].name}`);
}
function go(to) {
  step = Math.max(0, Math.min(D.lastStep, to));
  now = statesAt(step);
  $("step").value = step;
  $("step").setAttribute("aria-valuetext", stepLabel());
  $("label").textContent = stepLabel();
  $("first").disabled = $("previous").disabled = step === 0;
  $("last").disabled = $("next").disabled = step === D.lastStep;
  legend(); detail(); drawSoon(); remember();
}
function play() {
  if (playing) { cancelAnimationFrame(playing); playing = 0; $("play").textContent = "Play"; return; }
  $("play").textContent = "Stop";
  const start = performance.now(), from = step === D.lastStep ? 0 : step, seconds = Math.min(12, 2 + (D.lastStep - from) / 20);
  const frame = at => {
    const part = Math.min(1, (at - start) / 1000 / seconds);
    go(Math.round(from + (D.lastStep - from) * part));
    if (part < 1) playing = requestAnimationFrame(frame); else { playing = 0; $("play").textContent = "Play"; }
  };
  playing = requestAnimationFrame(frame);
}
document.addEventListener("keydown", event => {
  const typing = event.target.matches("input[type=search], select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (typing) { $("filter").value = ""; applyFilter(); }
    canvas.focus(); event.preventDefault(); return;
  }
  if (typing) return;
  const slider = event.target === $("step");
  if (event.key === "/") { $("filter").focus(); event.preventDefault(); }
  else if (event.key === "[") go(step - 1);
  else if (event.key === "]") go(step + 1);
  else if (event.key === "Home" && !slider) { go(0); event.preventDefault(); }
  else if (event.key === "End" && !slider) { go(D.lastStep); event.preventDefault(); }
});

// --- What is shown is in the address, so that it can be passed on ---------------------------------------------
let restoring = true;
function remember() {
  if (restoring) return;
  const parts = new URLSearchParams();
  if ($("filter").value) parts.set("filter", $("filter").value);
  if (step !== D.startStep) parts.set("step", step);
  if (openPod >= 0) parts.set("pod", podName(openPod)); else if (selected >= 0) parts.set("node", D.nodes.name[selected]);
  try { history.replaceState(null, "", "#" + parts); } catch { /* some browsers refuse this for files */ }
}
function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  $("filter").value = parts.get("filter") || "";
  go(parts.has("step") ? Number(parts.get("step")) || 0 : D.startStep);
  applyFilter();
  if (parts.has("node")) { const n = D.nodes.name.indexOf(parts.get("node")); if (n >= 0) select(n, true); }
  if (parts.has("pod")) for (let p = 0; p < podCount; p++) if (podName(p) === parts.get("pod")) { choosePod(p); break; }
}

document.title = D.title + " · Drayage";
$("title").textContent = D.title;
$("about").textContent = D.about;
for (const [value, name, tone] of D.cards) { const card = make("li", null, $("cards")); make("b", value, card, tone); make("span", name, card); }
for (const [name, lines] of D.assumptions) if (lines.length) {
  make("h4", name, $("assumptions").lastElementChild);
  const list = make("ul", null, $("assumptions").lastElementChild);
  for (const text of lines) make("li", text, list);
}
$("time").hidden = D.lastStep === 0;
$("step").max = D.lastStep;
$("changes").parentElement.hidden = D.lastStep === 0;
$("first").addEventListener("click", () => go(0)); $("last").addEventListener("click", () => go(D.lastStep));
$("previous").addEventListener("click", () => go(step - 1)); $("next").addEventListener("click", () => go(step + 1));
$("step").addEventListener("input", () => go(Number($("step").value)));
$("play").addEventListener("click", play);
$("filter").addEventListener("input", applyFilter);
$("colour").addEventListener("change", drawSoon); $("changes").addEventListener("change", drawSoon);
$("back").addEventListener("click", () => { page--; table(); }); $("more").addEventListener("click", () => { page++; table(); });
window.addEventListener("resize", layout);
window.addEventListener("hashchange", () => { restoring = true; restore(); restoring = false; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); drawSoon(); });
readPalette(); outcomes(); layout(); restore(); draw();
restoring = false;
document.body.dataset.ready = "yes";
document.body.dataset.milliseconds = Math.round(performance.now() - began);
})();

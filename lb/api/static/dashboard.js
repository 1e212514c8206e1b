// The dashboard: watches the stream of /live and asks the API to act. What it shows is text, never markup.

import { draw, forget, highest, newLine, note } from "./lines.js";
import { NOTHING, clock, count, day, duration, perSecond, sentence, share, some, span, sum } from "./words.js";

const TOKEN = "lb-token";
const EVENTS = 200; // kept in the feed
const SILENCE_SECONDS = 8; // after which the stream counts as lost
const RETRY_SECONDS = 2;
const PATIENCE_SECONDS = 15; // for an act; the API itself waits for a store that comes back
const HEARTBEAT_SECONDS = 3; // without one a worker is silent
const MANY = 10; // servers, from which on they can be filtered
const TOTAL = ""; // whose figures the totals are

// Each is a column of the servers' table and one of the totals. The scale of its lines ends at `least` or above.
const FIGURES = {
  rate: { label: "Requests/s", title: "Requests per second", text: perSecond, least: 1 },
  p50: { label: "p50", title: "Median latency", text: duration, least: 0.001 },
  p99: { label: "p99", title: "Latency of the slowest hundredth", text: duration, least: 0.001 },
  errors: { label: "Errors", title: "Share of failed requests", text: share, least: 0.01 },
  flight: { label: "In flight", title: "Requests in flight", text: count, least: 1 },
};

const IDLE = { requestsPerSecond: 0 }; // a server that nothing was counted of

const figuresOf = (rates, connections) => ({
  rate: rates.requestsPerSecond ?? null,
  p50: rates.p50Seconds ?? null,
  p99: rates.p99Seconds ?? null,
  errors: rates.errorRatio ?? null,
  flight: connections,
});

const $ = (id) => document.getElementById(id);
const rows = new Map(); // table's id + server's id → the row
const tops = new Map(); // figure → where the scale of its column ends
const inSight = new Set(); // rows of servers: a pool may have thousands, a window shows a few
let now = 0; // the store's clock, unix seconds
let alarm; // aborts a stream that is silent

const sight = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    inSight[isIntersecting ? "add" : "delete"](target);
    if (isIntersecting) drawFigures(target);
  }
});

// --- the API

function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the API answered ${response.status}`;
  }
}

async function call(method, path, body = {}) {
  const signal = AbortSignal.timeout(PATIENCE_SECONDS * 1000);
  const options = { method, signal, headers: headers({ "Content-Type": "application/json" }) };
  if (method !== "DELETE") options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the API does not answer; nothing is known to have changed");
  }
  if (!response.ok) throw new Error(await reason(response));
}

const pathOf = (id) => id.split("/").map(encodeURIComponent).join("/");

// --- the stream

async function watch() {
  for (;;) {
    try {
      const lost = new AbortController();
      listen(lost);
      const response = await fetch("live", { headers: headers(), signal: lost.signal });
      if (response.status === 401) {
        await askToken(sessionStorage.getItem(TOKEN) ? "This is neither of its tokens. Try again." : "");
        continue;
      }
      if (!response.ok) throw new Error(await reason(response));
      await read(response.body, lost);
      throw new Error("the API ended the stream");
    } catch (error) {
      const why = error instanceof TypeError || error.name === "AbortError" ? "the API does not answer" : error.message;
      say("lost", "not live");
      trouble(`${sentence(why)}${seenAt()} Trying again.`);
    }
    await new Promise((done) => setTimeout(done, RETRY_SECONDS * 1000));
  }
}

function listen(lost) {
  clearTimeout(alarm);
  alarm = setTimeout(() => lost.abort(), SILENCE_SECONDS * 1000);
}

async function read(body, lost) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    listen(lost);
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const messages = text.split("\n\n");
    text = messages.pop();
    messages.forEach(take);
  }
}

function take(message) {
  try {
    const [, kind, data] = /^event: (.*)\ndata: (.*)$/.exec(message);
    shows[kind](JSON.parse(data));
  } catch (error) {
    console.error(error);
    throw new Error("this page does not understand the API, perhaps after an upgrade: reload it");
  }
}

const shows = {
  access({ mayWrite }) {
    document.body.classList.toggle("read-only", !mayWrite);
    $("strategy").disabled = !mayWrite;
  },
  pool(seen) {
    now = seen.at;
    say("live", document.body.classList.contains("read-only") ? "live, read-only" : "live");
    trouble("");
    showTotals(seen);
    showServers(seen.servers);
    showFigures(seen);
    showRemoved(seen.removed);
    showWorkers(seen.status.workers, seen.status.version);
    showStrategies(seen.strategies, seen.status.strategy);
  },
  trouble({ error }) {
    say("lost", "store away");
    trouble(`${sentence(error)} Workers go on with the servers they know.${seenAt()}`);
  },
  events: showEvents,
};

// --- what is shown

function put(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function say(state, text) {
  $("link").dataset.state = state;
  put($("link"), text);
}

const seenAt = () => (now ? ` What you see is of ${clock(now)}.` : "");

function trouble(text) {
  $("trouble").hidden = !text;
  put($("trouble"), text);
}

function showTotals({ status, servers }) {
  const { total, eligible } = status.servers;
  $("fail-open").hidden = !status.failOpen;
  put($("eligible"), eligible);
  put($("of-servers"), `of ${total}`);
  $("eligible").dataset.bad = eligible === 0;
  $("eligible").dataset.partly = eligible < total;
  const hosts = new Set(status.workers.map((worker) => worker.host)).size;
  put($("workers"), status.workers.length);
  $("workers").dataset.bad = status.workers.length === 0;
  put($("of-hosts"), `on ${some(hosts, "host")}`);
  put($("checker"), status.healthChecker ? "leads" : "none");
  $("checker").dataset.bad = !status.healthChecker;
  put($("checker-id"), status.healthChecker ?? "nobody checks");
  $("checker-id").title = status.healthChecker ?? "";
  put($("version"), count(status.version));
  const down = servers.filter((server) => server.health === "down").length;
  document.title = `${down ? `(${down} down) ` : ""}lb ${location.host}`;
}

function showServers(servers) {
  $("no-servers").hidden = servers.length > 0;
  fill($("server-rows"), servers, newServerRow, (row, server) => {
    put(row.querySelector("th .small"), originOf(server));
    const badge = row.querySelector(".badge");
    badge.dataset.state = server.admin === "ready" ? server.health : server.admin;
    put(badge, server.admin === "ready" ? server.health : `${server.admin}, ${server.health}`);
    const failing = server.failures > 0 && !server.reason && `${some(server.failures, "failure")} in a row`;
    const why = [server.reason || failing, `since ${span(now - server.since)}`].filter(Boolean).join(", ");
    put(row.querySelector(".why"), why);
    put(row.querySelector(".weight"), server.weight);
    showCheck(row, server);
    offer(row, server);
  });
  $("find").hidden = servers.length <= MANY && !$("filter").value;
  showMatches();
}

// Hides the rows without every word of the filter; "up" is not found in "drain, up", which gets no requests.
function showMatches() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...$("server-rows").children];
  for (const row of all) {
    const state = row.querySelector(".badge").dataset.state;
    const said = `${row.firstChild.textContent} ${row.querySelector(".state").textContent}`.toLowerCase();
    row.hidden = !words.every((word) => (word === "up" ? state === word : said.includes(word)));
  }
  const found = all.filter((row) => !row.hidden).length;
  put($("found"), words.length ? `${count(found)} of ${count(all.length)}` : "");
  $("none-found").hidden = found > 0 || all.length === 0;
  $("server-table").hidden = found === 0;
}

function showCheck(row, { admin, lastCheck }) {
  const verdict = row.querySelector(".verdict");
  if (!lastCheck) {
    put(verdict, admin === "maint" ? "not checked" : "none yet");
    return;
  }
  put(verdict, lastCheck.passed ? lastCheck.detail : `failed: ${lastCheck.detail}`);
  verdict.classList.toggle("failed", !lastCheck.passed);
  put(row.querySelector(".took"), `${duration(lastCheck.durationSeconds)}, ${span(now - lastCheck.at)} ago`);
}

// Those that the API does not know (yet) are not shown at all, rather than as zero.
function showFigures({ status, servers, rates }) {
  const known = rates?.windowSeconds > 0;
  if (known) document.body.classList.remove("without-rates");
  const seen = new Map([[TOTAL, figuresOf(known && rates.total, status.connections)]]);
  for (const { id, connections } of servers) {
    seen.set(id, figuresOf(known && (rates.servers[id] ?? IDLE), connections));
  }
  for (const figure of Object.keys(FIGURES)) {
    forget(figure, seen);
    for (const [id, figures] of seen) {
      note(figure, id, now, figures[figure]);
      const place = id === TOTAL ? $(`total-${figure}`) : rows.get(`server-rows ${id}`).querySelector(`.${figure}`);
      showFigure(figure, figures[figure], place.querySelector(".value"));
    }
    tops.set(figure, highest(figure, FIGURES[figure].least, (name) => name !== TOTAL));
    const topOfTotal = highest(figure, FIGURES[figure].least, (name) => name === TOTAL);
    drawFigure(figure, TOTAL, $(`total-${figure}`), topOfTotal);
  }
  inSight.forEach(drawFigures);
}

function showFigure(figure, value, shown) {
  put(shown, value === null ? NOTHING : FIGURES[figure].text(value));
  if (figure === "errors") shown.classList.toggle("failed", value >= 0.001);
}

function drawFigures(row) {
  for (const [figure, top] of tops) drawFigure(figure, row.dataset.id, row.querySelector(`.${figure}`), top);
}

function drawFigure(figure, name, place, top) {
  const { title, text } = FIGURES[figure];
  draw(place.querySelector("svg"), { figure, name, now, top, text, title });
}

function showRemoved(removed) {
  $("removed").hidden = removed.length === 0;
  fill($("removed-rows"), removed, newRemovedRow, (row, server) => {
    const more = server.returns ? ", comes back when it answers" : "";
    put(row.querySelector(".why"), (server.reason || "by an operator") + more);
    put(row.querySelector(".when"), `${span(now - server.at)} ago`);
    put(row.querySelector(".weight"), server.weight);
  });
}

function showWorkers(workers, version) {
  $("no-workers").hidden = workers.length > 0;
  const items = [...group(workers)]
    .sort()
    .flatMap(([host, members]) => [{ id: `host ${host}`, host, members }, ...members.sort(byAge)]);
  fill($("worker-rows"), items, newWorkerRow, (row, item) =>
    item.members ? showHost(row, item.members) : showWorker(row, item, version),
  );
}

const byAge = (one, other) => one.started - other.started || one.pid - other.pid;

function showHost(row, members) {
  const connections = sum(members.map((worker) => worker.connections));
  put(row.querySelector(".small"), `${some(members.length, "worker")}, ${count(connections)} in flight`);
}

function showWorker(row, worker, version) {
  const badge = row.querySelector(".badge");
  const [state, words] = stateOf(worker);
  badge.dataset.state = state;
  put(badge, words);
  const behind = version - worker.version;
  put(row.querySelector(".version"), behind > 0 ? `${count(worker.version)} (${count(behind)} behind)` : count(worker.version));
  put(row.querySelector(".held"), count(worker.connections));
  put(row.querySelector(".age"), span(now - worker.started));
  put(row.querySelector(".heard"), `${span(now - worker.heartbeat)} ago`);
}

function stateOf({ heartbeat, degradedSince, degradedUntil }) {
  if (now - heartbeat > HEARTBEAT_SECONDS) return ["down", "silent"];
  if (degradedSince && !degradedUntil) return ["down", "without the store"];
  return ["up", "at work"];
}

function showStrategies(known, chosen) {
  const select = $("strategy");
  if (select.options.length !== known.length) select.replaceChildren(...known.map((name) => new Option(name)));
  const changed = select.dataset.chosen !== chosen; // else it is left alone where somebody is about to choose
  if (!$("confirm").open && (changed || document.activeElement !== select)) select.value = chosen;
  select.dataset.chosen = chosen;
}

function showEvents(events) {
  const feed = $("events");
  for (const event of events) {
    const id = `event-${event.id}`;
    if ($(id)) continue; // each stream begins with the latest
    const time = make("time", clock(event.at));
    time.append(make("span", day(event.at), "small"));
    time.dateTime = new Date(event.at * 1000).toISOString();
    const what = make("span", "");
    const more = [plain(event.detail, event.server) ? "" : event.detail, event.by && `by ${event.by}`];
    what.append(event.server, make("span", more.filter(Boolean).join(" · "), "small"));
    const item = make("li", "");
    item.id = id;
    item.append(time, make("span", event.kind, "kind"), what);
    feed.prepend(item);
  }
  while (feed.children.length > EVENTS) feed.lastChild.remove();
  $("log").setAttribute("aria-live", "polite"); // from now on: what was there at first is not read out
}

// --- rows: made once, changed in place, so that focus and reading position stay

function fill(body, items, create, update) {
  const wanted = items.map((item) => {
    const key = `${body.id} ${item.id}`;
    const row = rows.get(key) ?? create(item);
    rows.set(key, row);
    update(row, item);
    return row;
  });
  const kept = new Set(wanted);
  for (const row of [...body.children]) {
    if (kept.has(row)) continue;
    rows.delete(`${body.id} ${row.dataset.id}`);
    if (row.contains(document.activeElement)) body.closest("section").focus();
    row.remove();
  }
  wanted.forEach((row, at) => {
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
  });
}

const plain = (url, id) => url === id || url === `http://${id}`;
const originOf = ({ id, url, source }) =>
  `${plain(url, id) ? "" : `${url}, `}${source === "config" ? "from the config" : "by an operator"}`;

function newServerRow(server) {
  const { id } = server;
  const figures = Object.entries(FIGURES).map(([figure, { label }]) => {
    const kind = `number figure ${figure}${figure === "flight" ? "" : " rate-only"}`;
    return cell(label, kind, make("span", "", "value"), newLine());
  });
  const row = newRow(id, [
    head(id, originOf(server)),
    cell("", "state", make("span", "", "badge"), make("span", "", "small why")),
    cell("Weight", "number weight"),
    ...figures,
    cell("Last check", "wide check", make("span", "", "verdict"), make("span", "", "small took")),
    cell("", "acts writes", ...Object.keys(acts).map((name) => button(name, id))),
  ]);
  sight.observe(row);
  return row;
}

function newRemovedRow({ id, url }) {
  const restore = make("button", "Restore");
  restore.type = "button";
  restore.setAttribute("aria-label", `Restore ${id}`);
  restore.addEventListener("click", () =>
    confirm({
      title: `Restore ${id}?`,
      text: "It comes back with its URL and weight, and gets requests at once.",
      yes: "Restore",
      act: () => call("POST", `removed/${pathOf(id)}/restore`),
    }),
  );
  const cells = [cell("Why", "wide why"), cell("When", "when"), cell("Weight", "number weight")];
  return newRow(id, [head(id, plain(url, id) ? "" : url), ...cells, cell("", "acts writes", restore)]);
}

function newWorkerRow({ id, host, pid, members }) {
  if (members) {
    const row = newRow(id, [head(host, " ")]);
    row.className = "host";
    row.firstChild.colSpan = 6;
    row.firstChild.scope = "rowgroup";
    return row;
  }
  const name = head(`process ${pid}`, "");
  name.title = id;
  return newRow(id, [
    name,
    cell("", "state", make("span", "", "badge")),
    cell("Pool version", "number version"),
    cell("In flight", "number held"),
    cell("Age", "number age"),
    cell("Heard of", "number heard"),
  ]);
}

function newRow(id, cells) {
  const row = make("tr", "");
  row.role = "row";
  row.dataset.id = id;
  row.append(...cells);
  return row;
}

function head(id, more) {
  const element = make("th", id, "wide");
  element.role = "rowheader";
  element.scope = "row";
  if (more) element.append(make("span", more, "small"));
  return element;
}

function cell(label, kind, ...content) {
  const element = make("td", "", kind);
  element.role = "cell";
  if (label) element.dataset.label = label;
  element.append(...content);
  return element;
}

function make(name, text, kind = "") {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

// --- acts

const change = (id, body) => call("PATCH", `servers/${pathOf(id)}`, body);

const acts = {
  Drain: {
    offered: (server) => server.admin !== "drain",
    text: "It gets no new requests; those in flight finish.",
    act: (id) => change(id, { admin: "drain" }),
  },
  Undrain: {
    offered: (server) => server.admin !== "ready",
    text: "It gets requests again as soon as it is up.",
    act: (id) => change(id, { admin: "ready" }),
  },
  Maint: {
    offered: (server) => server.admin !== "maint",
    text: "It gets no new requests and is not checked; requests in flight finish.",
    act: (id) => change(id, { admin: "maint" }),
  },
  Weight: {
    offered: () => true,
    text: "Its share of the requests, from 1 to 256, relative to the others'.",
    act: (id, weight) => change(id, { weight }),
  },
  Remove: {
    offered: () => true,
    danger: true,
    text: "It gets no new requests; those in flight finish. It can be restored for 30 days.",
    act: (id) => call("DELETE", `servers/${pathOf(id)}`),
  },
};

function button(name, id) {
  const { text, danger, act } = acts[name];
  const element = make("button", name, danger ? "danger" : "");
  element.type = "button";
  element.dataset.act = name;
  element.setAttribute("aria-label", `${name} ${id}`);
  element.addEventListener("click", () => {
    const weight = name === "Weight" ? Number(element.closest("tr").querySelector(".weight").textContent) : null;
    const title = name === "Weight" ? `Weight of ${id}` : `${name} ${id}?`;
    confirm({ title, text, weight, danger, yes: name === "Weight" ? "Set weight" : name, act: (given) => act(id, given) });
  });
  return element;
}

function offer(row, server) {
  const focused = row.contains(document.activeElement) ? document.activeElement : null;
  for (const element of row.querySelectorAll("[data-act]")) {
    element.hidden = !acts[element.dataset.act].offered(server);
  }
  if (focused?.hidden) row.querySelector("[data-act]:not([hidden])").focus();
}

function confirm({ title, text, yes, act, weight = null, danger = false, cancelled = () => {} }) {
  const dialog = $("confirm");
  const input = $("confirm-weight").querySelector("input");
  put($("confirm-title"), title);
  put($("confirm-text"), text);
  put($("confirm-answer"), "");
  put($("confirm-yes"), yes);
  $("confirm-yes").classList.toggle("danger", danger);
  $("confirm-weight").hidden = weight === null;
  input.disabled = weight === null;
  input.value = weight ?? "";
  let done = false;
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    done = await tried($("confirm-yes"), $("confirm-answer"), () => act(input.valueAsNumber));
    if (done) dialog.close();
  };
  $("confirm-no").onclick = () => dialog.close();
  dialog.onclose = () => {
    if (!done) cancelled();
    // The row may have left before the dialog, and with it the button that has opened that.
    if (document.activeElement === document.body) $("servers").focus({ preventScroll: true });
  };
  dialog.showModal();
  (weight === null ? $("confirm-no") : input).focus();
}

async function tried(pressed, answer, act) {
  put(answer, "");
  pressed.disabled = true;
  try {
    await act();
    return true;
  } catch (error) {
    put(answer, error.message);
    return false;
  } finally {
    pressed.disabled = false;
  }
}

function askToken(why) {
  const dialog = $("ask");
  put($("ask-answer"), why);
  say("wait", "waiting for the token");
  dialog.querySelector("form").onsubmit = () => {
    sessionStorage.setItem(TOKEN, $("ask-token").value.trim());
    $("ask-token").value = "";
  };
  dialog.showModal();
  return new Promise((closed) => {
    dialog.onclose = closed; // by Escape too: then it is asked for again
  });
}

$("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { url, weight } = event.target.elements;
  const body = { url: url.value.trim(), weight: weight.valueAsNumber };
  const done = await tried(event.submitter, $("add-answer"), () => call("POST", "servers", body));
  url.setAttribute("aria-invalid", !done);
  if (done) event.target.reset();
  url.focus();
});

$("filter").addEventListener("input", showMatches);

$("strategy").addEventListener("change", ({ target }) => {
  const strategy = target.value;
  confirm({
    title: `Pick by ${strategy}?`,
    text: "Every worker follows at once.",
    yes: "Change",
    act: () => call("PUT", "strategy", { strategy }),
    cancelled: () => (target.value = target.dataset.chosen),
  });
});

function group(workers) {
  const hosts = new Map();
  for (const worker of workers) hosts.set(worker.host, [...(hosts.get(worker.host) ?? []), worker]);
  return hosts;
}

for (const figure of Object.keys(FIGURES)) $(`total-${figure}`).querySelector("dd").append(newLine());
watch();

// The dashboard: watches the stream of /live and asks the API to act. What it shows is text, never markup.

const TOKEN = "lb-token";
const POINTS = 60; // of a sparkline: one a second, or one a check
const EVENTS = 200; // kept in the feed
const SILENCE_SECONDS = 8; // after which the stream counts as lost
const RETRY_SECONDS = 2;

const $ = (id) => document.getElementById(id);
const lines = new Map(); // name of a figure → its latest values
const rows = new Map(); // table's id + server's id → the row
let now = 0; // the API's clock, unix seconds

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
  const options = { method, headers: headers({ "Content-Type": "application/json" }) };
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
      const response = await fetch("live", { headers: headers(), signal: lost.signal });
      if (response.status === 401) {
        await askToken(sessionStorage.getItem(TOKEN) ? await reason(response) : "");
        continue;
      }
      if (!response.ok) throw new Error(await reason(response));
      await read(response.body, lost);
      throw new Error("the API ended the stream");
    } catch (error) {
      const why = error instanceof TypeError || error.name === "AbortError" ? "the API does not answer" : error.message;
      say("lost", "not live");
      trouble(`${why}; what you see is of ${now ? clock(now) : "no time yet"}. Trying again.`);
    }
    await new Promise((done) => setTimeout(done, RETRY_SECONDS * 1000));
  }
}

async function read(body, lost) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let alarm;
  try {
    for (;;) {
      clearTimeout(alarm);
      alarm = setTimeout(() => lost.abort(), SILENCE_SECONDS * 1000);
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const messages = text.split("\n\n");
      text = messages.pop();
      messages.forEach(take);
    }
  } finally {
    clearTimeout(alarm);
  }
}

function take(message) {
  const [, kind, data] = /^event: (.*)\ndata: (.*)$/.exec(message);
  shows[kind](JSON.parse(data));
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
    showRemoved(seen.removed);
    showHosts(seen.status.workers, seen.status.version);
    showStrategies(seen.strategies, seen.status.strategy);
  },
  trouble({ error }) {
    say("lost", "store away");
    trouble(`${error} Workers go on with the servers they know; what you see is of ${now ? clock(now) : "no time yet"}.`);
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

function trouble(text) {
  $("trouble").hidden = !text;
  put($("trouble"), text);
}

function showTotals({ status, servers }) {
  const { total, eligible } = status.servers;
  put($("eligible"), eligible);
  put($("of-servers"), `of ${total}`);
  $("eligible").dataset.bad = total > 0 && eligible === 0;
  put($("connections"), status.connections.toLocaleString("en"));
  draw($("connections-line"), "all", status.connections);
  const hosts = new Set(status.workers.map((worker) => worker.host)).size;
  put($("workers"), status.workers.length);
  $("workers").dataset.bad = status.workers.length === 0;
  put($("of-hosts"), `on ${count(hosts, "host")}`);
  put($("checker"), status.healthChecker ? "leads" : "none");
  $("checker").dataset.bad = !status.healthChecker;
  put($("checker-id"), status.healthChecker ?? "nobody checks");
  $("checker-id").title = status.healthChecker ?? "";
  put($("version"), status.version);
  const down = servers.filter((server) => server.health === "down").length;
  document.title = down ? `(${down} down) lb` : "lb";
}

function showServers(servers) {
  $("no-servers").hidden = servers.length > 0;
  fill($("server-rows"), servers, newServerRow, (row, server) => {
    const badge = row.querySelector(".badge");
    badge.dataset.state = server.admin === "ready" ? server.health : server.admin;
    put(badge, server.admin === "ready" ? server.health : `${server.admin}, ${server.health}`);
    put(row.querySelector(".why"), [server.reason, `since ${span(server.since)}`].filter(Boolean).join(", "));
    put(row.querySelector(".weight"), server.weight);
    put(row.querySelector(".flight"), server.connections.toLocaleString("en"));
    draw(row.querySelector(".flight-line"), `${server.id} flight`, server.connections);
    put(row.querySelector(".failures"), server.failures);
    row.querySelector(".failures").classList.toggle("failed", server.failures > 0);
    showCheck(row, server);
    offer(row, server);
  });
}

function showCheck(row, { id, admin, lastCheck }) {
  const verdict = row.querySelector(".verdict");
  if (!lastCheck) {
    put(verdict, admin === "maint" ? "not checked" : "none yet");
    return;
  }
  put(verdict, lastCheck.passed ? lastCheck.detail : `failed: ${lastCheck.detail}`);
  verdict.classList.toggle("failed", !lastCheck.passed);
  const milliseconds = lastCheck.durationSeconds * 1000;
  put(row.querySelector(".took"), `${milliseconds.toFixed(1)} ms, ${span(lastCheck.at)} ago`);
  if (row.dataset.checked === String(lastCheck.at)) return;
  row.dataset.checked = lastCheck.at;
  draw(row.querySelector(".check-line"), `${id} check`, milliseconds);
}

function showRemoved(removed) {
  $("removed").hidden = removed.length === 0;
  fill($("removed-rows"), removed, newRemovedRow, (row, server) => {
    put(row.querySelector(".why"), server.reason || "by an operator");
    put(row.querySelector(".when"), `${span(server.at)} ago`);
    put(row.querySelector(".weight"), server.weight);
  });
}

function showHosts(workers, version) {
  const hosts = group(workers);
  $("no-workers").hidden = workers.length > 0;
  const items = [...hosts].sort().map(([id, members]) => ({ id, members }));
  fill($("host-rows"), items, newHostRow, (row, { members }) => {
    const behind = members.filter((worker) => worker.version < version).length;
    put(row.querySelector(".workers"), members.length);
    put(row.querySelector(".flight"), sum(members.map((worker) => worker.connections)).toLocaleString("en"));
    const degraded = members.filter((worker) => worker.degradedSince && !worker.degradedUntil).length;
    const oldest = Math.min(...members.map((worker) => worker.heartbeat));
    const words = [`${span(oldest)} ago`, behind && `${behind} behind`, degraded && `${degraded} without the store`];
    put(row.querySelector(".heard"), words.filter(Boolean).join(", "));
    row.querySelector(".heard").classList.toggle("failed", degraded > 0);
  });
}

function showStrategies(known, chosen) {
  const select = $("strategy");
  if (select.options.length !== known.length) select.replaceChildren(...known.map((name) => new Option(name)));
  if (!$("confirm").open && document.activeElement !== select) select.value = chosen;
  select.dataset.chosen = chosen;
}

function showEvents(events) {
  const feed = $("events");
  for (const event of events) {
    const time = make("time", clock(event.at));
    time.dateTime = new Date(event.at * 1000).toISOString();
    const what = make("span", "");
    what.append(event.server, make("span", [event.detail, event.by && `by ${event.by}`].filter(Boolean).join(" · "), "small"));
    const item = make("li", "");
    item.append(time, make("span", event.kind, "kind"), what);
    feed.prepend(item);
  }
  while (feed.children.length > EVENTS) feed.lastChild.remove();
  feed.setAttribute("aria-live", "polite"); // from now on: what was there at first is not read out
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
  for (const row of [...body.children]) {
    if (wanted.includes(row)) continue;
    rows.delete(`${body.id} ${row.dataset.id}`);
    if (row.contains(document.activeElement)) body.closest("section").focus();
    row.remove();
  }
  wanted.forEach((row, at) => {
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] ?? null);
  });
}

function newServerRow({ id, url, source }) {
  const check = make("div", "", "check");
  const texts = make("div", "");
  texts.append(make("span", "", "verdict"), make("span", "", "small took"));
  check.append(texts, newLine("check-line"));
  return newRow(id, [
    head(id, `${url === `http://${id}` ? "" : `${url}, `}${source === "config" ? "from the config" : "by an operator"}`),
    cell("", "state", make("span", "", "badge"), make("span", "", "small why")),
    cell("Weight", "number weight"),
    cell("In flight", "number in-flight", newLine("flight-line"), make("span", "", "flight")),
    cell("Failures", "number failures"),
    cell("Last check", "wide", check),
    cell("", "acts writes", ...Object.keys(acts).map((name) => button(name, id))),
  ]);
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
  return newRow(id, [head(id, url === `http://${id}` ? "" : url), ...cells, cell("", "acts writes", restore)]);
}

function newHostRow({ id }) {
  return newRow(id, [
    head(id, ""),
    cell("Workers", "number workers"),
    cell("In flight", "number flight"),
    cell("Last heard of", "wide heard"),
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

// --- sparklines: kept in this page alone

function newLine(kind) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", `line ${kind}`);
  svg.setAttribute("viewBox", `0 0 ${POINTS} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true"); // the figure beside it says the same
  for (const shape of ["polygon", "polyline"]) {
    const element = document.createElementNS(svg.namespaceURI, shape);
    element.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(element);
  }
  return svg;
}

function draw(place, name, value) {
  const svg = place instanceof SVGElement ? place : (place.firstChild ?? place.appendChild(newLine("")));
  const values = lines.get(name) ?? [];
  values.push(value);
  if (values.length > POINTS) values.shift();
  lines.set(name, values);
  const top = Math.max(...values, 1);
  const first = POINTS - values.length;
  const points = values.map((each, at) => `${first + at},${(19 - (18 * each) / top).toFixed(1)}`).join(" ");
  svg.lastChild.setAttribute("points", points);
  svg.firstChild.setAttribute("points", `${first},20 ${points} ${POINTS - 1},20`);
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
  dialog.onclose = () => done || cancelled();
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
  return new Promise((given) => {
    dialog.oncancel = (event) => event.preventDefault(); // without a token there is nothing to see
    dialog.querySelector("form").onsubmit = () => {
      sessionStorage.setItem(TOKEN, $("ask-token").value.trim());
      $("ask-token").value = "";
      given();
    };
    if (!dialog.open) dialog.showModal();
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

// --- words

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;
const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

function span(since) {
  const seconds = Math.max(0, Math.round(now - since));
  if (seconds < 100) return `${seconds}\u00a0s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)}\u00a0min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)}\u00a0h`;
  return `${Math.round(seconds / 86400)}\u00a0days`;
}

function group(workers) {
  const hosts = new Map();
  for (const worker of workers) hosts.set(worker.host, [...(hosts.get(worker.host) ?? []), worker]);
  return hosts;
}

watch();

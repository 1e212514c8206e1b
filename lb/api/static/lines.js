// Sparklines: what a figure was in the last two minutes, as this page has seen it. Drawn as SVG, told as text.

const SECONDS = 120; // wide
const GAP_SECONDS = 3.5; // without a value: the line breaks
const HEIGHT = 20;
const SVG = "http://www.w3.org/2000/svg";

const series = new Map(); // figure → name of whose → points: {at, value}, the oldest first

export function newLine() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "line");
  svg.setAttribute("viewBox", `0 0 ${SECONDS} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const shape of ["ground", "course"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", shape);
    path.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(path);
  }
  return svg;
}

// Remembers one value; null breaks the line.
export function note(figure, name, at, value) {
  const all = series.get(figure) ?? series.set(figure, new Map()).get(figure);
  const points = all.get(name) ?? [];
  points.push({ at, value });
  while (points[0].at < at - SECONDS) points.shift();
  all.set(name, points);
}

export function forget(figure, names) {
  const all = series.get(figure) ?? new Map();
  for (const name of all.keys()) if (!names.has(name)) all.delete(name);
}

// The highest that a figure was for any of those that count: lines of one column have one scale.
export function highest(figure, least, counts) {
  let top = least;
  for (const [name, points] of series.get(figure) ?? []) {
    if (counts(name)) for (const { value } of points) if (value > top) top = value;
  }
  return top;
}

export function draw(svg, { figure, name, now, top, text, title }) {
  const points = series.get(figure)?.get(name) ?? [];
  const runs = runsOf(points).map((run) => run.map(({ at, value }) => place(now - at, value / top)));
  const [ground, course] = svg.children;
  course.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
  ground.setAttribute("d", runs.map((run) => `M${foot(run[0])}L${run.join("L")}L${foot(run.at(-1))}Z`).join(""));
  const values = points.map(({ value }) => value).filter((value) => value !== null);
  svg.classList.toggle("nil", !values.some(Boolean));
  const told = values.length ? `${text(Math.min(...values))} to ${text(Math.max(...values))}` : "nothing yet";
  svg.setAttribute("aria-label", `${title}, last two minutes: ${told}`);
}

function runsOf(points) {
  const runs = [];
  let before = null;
  for (const point of points) {
    if (point.value === null) {
      before = null;
      continue;
    }
    if (!before || point.at - before.at > GAP_SECONDS) runs.push([]);
    runs.at(-1).push(point);
    before = point;
  }
  return runs;
}

const place = (age, part) => `${(SECONDS - age).toFixed(1)},${(HEIGHT - 1 - (HEIGHT - 2) * part).toFixed(1)}`;
const foot = (point) => `${point.split(",")[0]},${HEIGHT}`;

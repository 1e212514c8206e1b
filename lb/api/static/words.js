// Figures as people read them, with as many digits as matter and no more, so that they stand still. PURE.

export const NOTHING = "–";

export const count = (number) => number.toLocaleString("en");
export const some = (number, name) => `${count(number)} ${name}${number === 1 ? "" : "s"}`;
export const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

export const day = (at) => new Date(at * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" });

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

export function perSecond(number) {
  if (number > 0 && number < 10) return number.toFixed(1);
  return number < 100_000 ? count(Math.round(number)) : `${count(Math.round(number / 1000))}k`;
}

export function duration(seconds) {
  const milliseconds = seconds * 1000;
  if (milliseconds < 9.995) return `${milliseconds.toFixed(2)}\u00a0ms`;
  if (milliseconds < 99.95) return `${milliseconds.toFixed(1)}\u00a0ms`;
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)}\u00a0ms`;
  return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)}\u00a0s`;
}

export function share(ratio) {
  if (ratio > 0 && ratio < 0.001) return "<0.1\u00a0%";
  return `${(ratio * 100).toFixed(ratio === 0 || ratio > 0.9995 ? 0 : 1)}\u00a0%`;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole}\u00a0s`;
  if (whole < 6000) return `${Math.round(whole / 60)}\u00a0min`;
  if (whole < 172_800) return `${Math.round(whole / 3600)}\u00a0h`;
  return `${Math.round(whole / 86_400)}\u00a0days`;
}

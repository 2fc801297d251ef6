// Numbers and times as people read them.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const NOTHING = "–";

export const count = (value: number | null | undefined) =>
  value === null || value === undefined ? NOTHING : value >= 100_000 ? short.format(value) : whole.format(value);

export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  return value >= 100 ? whole.format(value) : value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1);
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING;
  if (value >= 100_000) return `${whole.format(value / 1000)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return value >= 100 ? `${value.toFixed(0)} ms` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

export function bytes(value: number | null | undefined): string {
  if (!value) return NOTHING;
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(0)} MB`;
}

export function span(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h`;
  const days = seconds / 86_400;
  return days < 730 ? `${Math.round(days)} days` : `${(days / 365.25).toFixed(0)} years`;
}

export const ago = (ts_ms: number, now_ms = Date.now()) => {
  const past = (now_ms - ts_ms) / 1000;
  return past < 2 ? "just now" : `${span(past)} ago`;
};

export function probability(value: number): string {
  if (value >= 0.1) return `${(100 * value).toFixed(0)} %`;
  if (value >= 0.01) return `${(100 * value).toFixed(1)} %`;
  if (value >= 1e-6) return `${Number((100 * value).toPrecision(2))} %`;
  return value > 0 ? `${(100 * value).toExponential(0)} %` : "0 %";
}

export const figure = (value: number | null | undefined, digits = 4) =>
  value === null || value === undefined || Number.isNaN(value) ? NOTHING : value.toFixed(digits);

export const signed = (value: number, digits = 3) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits)}`;

export const moment = (ts_ms: number) =>
  new Date(ts_ms).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

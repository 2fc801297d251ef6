// The server's digest, twice a second, read from one open answer; kept in rings of fixed size.
import { batch, signal } from "@preact/signals";
import { askForKey, headers, key } from "./api";
import type { Digest } from "./types";

export type Connection = "connecting" | "open" | "lost" | "locked";
export const connection = signal<Connection>("connecting");
export const digest = signal<Digest | null>(null);
export const lostSince = signal(0);

const KEPT = 240; // two minutes
const POINTS = ["events", "lists", "toList", "toWeights", "lag", "logLoss"] as const;
type Point = (typeof POINTS)[number];

/** The last two minutes of what moves; the arrays are the same ones all the time, `tick` says that they changed. */
export const past: Record<Point, (number | null)[]> = {
  events: [], lists: [], toList: [], toWeights: [], lag: [], logLoss: [],
};
export const tick = signal(0);

function keep(one: Digest): void {
  const values: Record<Point, number | null> = {
    events: one.events_per_s,
    lists: one.lists_per_s,
    toList: one.took?.event.p50_ms ?? null,
    toWeights: one.freshness?.p50_ms ?? null,
    lag: one.behind,
    logLoss: one.log_loss,
  };
  for (const name of POINTS) {
    const series = past[name];
    series.push(values[name]);
    if (series.length > KEPT) series.shift();
  }
}

function take(text: string): void {
  for (const line of text.split("\n")) {
    if (!line.startsWith("data: ")) continue;
    const one = JSON.parse(line.slice(6)) as Digest;
    keep(one);
    batch(() => {
      digest.value = one;
      tick.value++;
      connection.value = "open";
    });
  }
}

async function read(): Promise<void> {
  const answer = await fetch("/v1/stream", { headers: headers() });
  if (answer.status === 401 || answer.status === 403) {
    const used = key.value;
    const told = await answer.json();
    if (key.value === used && !(await askForKey(told.error.message))) {
      connection.value = "locked"; // until somebody gives one, here or elsewhere on the page
      await new Promise<void>((resolve) => {
        const stop = key.subscribe((found) => {
          if (found !== used && found) {
            queueMicrotask(() => stop());
            resolve();
          }
        });
      });
      connection.value = "connecting";
    }
    return;
  }
  if (!answer.ok || !answer.body) throw new Error(String(answer.status));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const end = rest.lastIndexOf("\n\n");
    if (end >= 0) {
      take(rest.slice(0, end));
      rest = rest.slice(end + 2);
    }
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Stays connected for as long as the page is there. */
export async function follow(): Promise<never> {
  for (let waits = 0; ; ) {
    try {
      await read();
      waits = 0;
    } catch {
      waits = Math.min(waits + 1, 5);
    }
    if (connection.value !== "lost") lostSince.value = Date.now();
    if (digest.value && connection.value === "open") connection.value = "lost";
    await pause(400 * 2 ** waits);
  }
}

// What the numbers come to, in words: whether learning live is better than standing still, and what to press.
import type { Digest, Reading } from "./types";
import { count, signed } from "./format";

export interface Verdict {
  tone: "good" | "warn" | "bad" | "plain";
  title: string;
  text: string;
}

export const against = (digest: Digest, reference: string): Reading | undefined =>
  digest.live.gate?.readings.find((one) => one.against === reference && one.claim === "harm");

export function liveVerdict(digest: Digest): Verdict {
  const { live } = digest;
  if (digest.learns === "off") {
    return { tone: "plain", title: "Nothing learns live", text: "The setting learner.mode is 'off': counts still move with each event, weights do not." };
  }
  const state = live.process?.state;
  if (state === "starting" || state === "recovering") {
    return { tone: "plain", title: "The live model is starting", text: "It reads what the log has. Lists are made meanwhile, and each event is in the next one." };
  }
  if (state === "catching_up") {
    return { tone: "warn", title: "The live model catches up", text: `${count(digest.behind)} records wait to be learned. Lists already reflect them.` };
  }
  if (state === "waiting" || state === "stopped") {
    return { tone: "bad", title: "The learner is gone", text: "Its process ended and is started again by itself. What it had published stays in the lists." };
  }
  const anchor = against(digest, "anchor");
  if (!anchor || anchor.events < 100) {
    return { tone: "plain", title: "Too early to tell", text: `${count(anchor?.events ?? 0)} events were compared so far. Some hundred are needed for a first impression, about 1,400 for a proof.` };
  }
  const mean = anchor.mean_nats ?? 0;
  const told = `${signed(mean)} nats an event over the last thousand or so, of ${count(anchor.events)} compared.`;
  if (Math.abs(mean) < 0.002) return { tone: "plain", title: "Learning and standing still are level", text: told };
  return mean > 0
    ? { tone: "good", title: "Learning live is ahead of standing still", text: told }
    : { tone: "warn", title: "Learning live is behind at the moment", text: `${told} If that is proven, the gate goes back by itself.` };
}

export function advice(digest: Digest): Verdict {
  const gate = digest.live.gate;
  if (digest.last_errors.length) {
    return { tone: "warn", title: "Something failed in the background", text: "Read it below. Lists go on; nothing needs to be pressed unless it repeats." };
  }
  if (gate?.paused) return { tone: "warn", title: "The gate stands still", text: "Press Resume in Learning to let it move by itself again." };
  if (gate && gate.resting_until_ms > digest.now_ms) {
    return { tone: "warn", title: "Learning rests", text: "Harm repeated, so the gate lets learning rest for a while. It wakes by itself." };
  }
  const harm = gate?.readings.find((one) => one.claim === "harm" && (one.nats ?? 0) > 0.5 * (one.needed_nats ?? Number.POSITIVE_INFINITY));
  if (harm) {
    return { tone: "warn", title: "Harm is suspected", text: "The gate is gathering evidence and goes back by itself. To be quicker, press Roll back in Learning." };
  }
  return { tone: "good", title: "Nothing needs to be pressed", text: "If lists look wrong: Learning, then Roll back. It takes milliseconds, and nothing that happened is lost." };
}

export const STAGE_WORDS: Record<string, string> = {
  off: "off", shadow: "shadow: learns, serves nobody", canary: "canary: serves a share of people", live: "live: serves everybody",
};

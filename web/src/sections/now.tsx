import { Badge, Button, Card, Empty, Icon, Meter, Waiting } from "../parts/basics";
import { Spark } from "../parts/chart";
import { bytes, count, figure, ms, rate, signed, span } from "../format";
import { digest, past, tick } from "../stream";
import { go } from "../state";
import { STAGE_WORDS, advice, liveVerdict } from "../verdict";
import type { Digest, Reading } from "../types";

const TARGETS = { list: 10, weights: 80 }; // ms, at the median
const TARGETS_99 = { list: 50, weights: 250 };

function Freshness(props: { name: string; text: string; p50: number | null; p99: number | null; target: number; target99: number; values: (number | null)[]; color: string; quiet: string }) {
  const fine = props.p50 === null || props.p50 <= props.target;
  return (
    <div class="fresh">
      <div class="fresh-head">
        <h3>{props.name}</h3>
        {props.p50 !== null && <Badge tone={fine ? "good" : "warn"}>{fine ? "within its target" : "over its target"}</Badge>}
      </div>
      {props.p50 === null ? (
        <p class="calm">{props.quiet}</p>
      ) : (
        <>
          <p class="big">{ms(props.p50)} <small>half of them</small></p>
          <Spark values={props.values} color={props.color} label={`${props.name}, the last two minutes`} />
        </>
      )}
      <p class="dim">
        {props.p99 !== null && <>99 of 100 within <b>{ms(props.p99)}</b>. </>}Targets: {ms(props.target)} for half, {ms(props.target99)} for 99 of 100. {props.text}
      </p>
    </div>
  );
}

const CLAIMS: Record<string, string> = {
  "harm anchor": "Worse than the anchor", "harm recent": "Worse than a minute ago", "harm young": "Worse than seconds ago",
  "better anchor": "Better than the anchor", "alike anchor": "As good as the anchor",
};

export function Evidence(props: { readings: Reading[] }) {
  return (
    <table class="plain evidence">
      <thead>
        <tr><th scope="col">Claim</th><th scope="col">Evidence</th><th scope="col" class="number">of needed</th><th scope="col" class="number">lately</th></tr>
      </thead>
      <tbody>
        {props.readings.map((one) => {
          const name = CLAIMS[`${one.claim} ${one.against}`] ?? `${one.claim} ${one.against}`;
          const nats = Math.max(0, one.nats ?? 0);
          const needed = one.needed_nats ?? Number.POSITIVE_INFINITY;
          const words = Number.isFinite(needed) ? needed.toFixed(1) : "∞";
          return (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td><Meter label={name} share={needed ? nats / needed : 0} tone={one.claim === "harm" ? "bad" : "good"} text={`${nats.toFixed(1)} of ${words} nats`} /></td>
              <td class="number">{nats.toFixed(1)} / {words}</td>
              <td class="number">{one.events && one.mean_nats !== null ? signed(one.mean_nats) : "–"}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Flow(props: { one: Digest }) {
  const { one } = props;
  const stage = one.live.stage ?? one.stage;
  return (
    <ol class="flow" aria-label="The way of an event">
      <li>
        <span class="flow-name">Events</span>
        <span class="big">{rate(one.events_per_s)}<small>/s</small></span>
        <Spark values={past.events} color="c-live" label="Events a second, the last two minutes" />
        <span class="dim">{count(one.events)} in all</span>
      </li>
      <li class="hop"><span>{one.took?.event.p50_ms ? ms(one.took.event.p50_ms) : "at once"}</span></li>
      <li>
        <span class="flow-name">Lists</span>
        <span class="big">{rate(one.lists_per_s)}<small>/s</small></span>
        <Spark values={past.lists} color="c-mixture" label="Lists a second, the last two minutes" />
        <span class="dim">{one.took?.list.p50_ms ? `made in ${ms(one.took.list.p50_ms)} (99 of 100 in ${ms(one.took.list.p99_ms)})` : `${count(one.lists)} since the start`}</span>
      </li>
      <li class="hop"><span>{one.freshness?.p50_ms ? ms(one.freshness.p50_ms) : "soon after"}</span></li>
      <li>
        <span class="flow-name">Weights</span>
        <span class="big mono">{one.live.published ? `#${count(one.live.published.offset)}` : "–"}</span>
        <span class="dim">{one.live.published ? `${count(Math.max(0, one.end - one.live.published.offset))} records behind the log` : "none published yet"}</span>
        <span class="dim">{stage ? STAGE_WORDS[stage] ?? stage : one.live.process?.state ?? "off"}</span>
      </li>
    </ol>
  );
}

export function notLearned(one: Digest): string {
  if (one.learns === "off") return "Nothing learns live here: the setting learner.mode is 'off'.";
  const state = one.live.process?.state;
  if (state === "starting" || state === "recovering") return "The learner is starting. Its gate and its times show when it is there.";
  if (state === "catching_up") return `The learner catches up first: ${count(one.behind)} records wait.`;
  if (state === "waiting" || state === "stopped") return "The learner is gone; it is started again by itself.";
  return "No event was learned lately, so there is nothing to measure.";
}

export function Now() {
  tick.value;
  const one = digest.value;
  if (!one) {
    return <Card title="Now"><Waiting lines={6} label="Waiting for the first digest" /></Card>;
  }
  const verdict = liveVerdict(one);
  const press = advice(one);
  const quiet = one.events_per_s === 0 && !past.events.some((value) => (value ?? 0) > 0);
  const gate = one.live.gate;
  const drift = one.live.drift;
  const refit = one.refitting;
  return (
    <>
      <Card class="hero">
        <Flow one={one} />
        {quiet && (
          <div class="call">
            <p><b>Nothing happens at the moment.</b> Click through a list yourself, or let made people do it, and watch the numbers move.</p>
            <Button tone="main" onClick={() => go("try")}><Icon name="hand" />Try it</Button>
            <Button onClick={() => go("made")}><Icon name="made" />Play made traffic</Button>
          </div>
        )}
      </Card>
      <div class="grid two">
        <Card class={`verdict ${verdict.tone}`} title="Live against standing still">
          <h3>{verdict.title}</h3>
          <p>{verdict.text}</p>
          <Button tone="ghost" onClick={() => go("learning")}>See it over time</Button>
        </Card>
        <Card class={`verdict ${press.tone}`} title="What to press">
          <h3>{press.title}</h3>
          <p>{press.text}</p>
          <Button tone="ghost" onClick={() => go("learning")}>To the buttons</Button>
        </Card>
      </div>
      <Card title="How fresh everything is" aside={<span class="dim">the last minute</span>}>
        <div class="grid two">
          <Freshness name="From an event to the list" text="Measured from a request's arrival until it is durable and in every list." p50={one.took?.event.p50_ms ?? null} p99={one.took?.event.p99_ms ?? null} target={TARGETS.list} target99={TARGETS_99.list} values={past.toList} color="c-mixture" quiet="No event has come by lately, so there is nothing to measure." />
          <Freshness name="From an event to the weights" text="Measured from a durable record until lists use weights that learned from it." p50={one.freshness?.p50_ms ?? null} p99={one.freshness?.p99_ms ?? null} target={TARGETS.weights} target99={TARGETS_99.weights} values={past.toWeights} color="c-live" quiet={notLearned(one)} />
        </div>
      </Card>
      <div class="grid two">
        <Card title="The gate" aside={gate && <Badge tone={gate.paused ? "warn" : gate.stage === "live" ? "good" : "live"}>{gate.paused ? "paused" : gate.stage}</Badge>}>
          {gate ? (
            <>
              <p class="dim">{STAGE_WORDS[gate.stage]}. {count(gate.events)} events compared. Evidence is in nats; a claim is acted upon when its bar is full.</p>
              <Evidence readings={gate.readings} />
            </>
          ) : (
            <Empty title="No gate yet"><p>{notLearned(one)}</p></Empty>
          )}
        </Card>
        <Card title="State">
          <dl class="facts">
            <dt>Learner</dt><dd>{one.live.process?.state.replace("_", " ") ?? one.learns}{one.behind ? `, ${count(one.behind)} behind` : ""}</dd>
            <dt>Lists reflect</dt><dd>{one.lag ? `all but ${count(one.lag)} records` : "the whole log"}</dd>
            <dt>Drift</dt><dd>{drift ? `${drift.rises} rises, ${drift.falls} falls noticed${drift.factor > 1.01 ? `; rates × ${drift.factor.toFixed(1)}` : ""}` : "–"}</dd>
            <dt>Large model</dt><dd>{one.published.name}, {span(one.published.age_ms / 1000)} old{refit.state !== "idle" ? `; ${refit.state.replace("_", " ")}` : ""}</dd>
            <dt>Log-loss</dt><dd>{figure(one.log_loss, 3)} nats, mean of all lists so far</dd>
            <dt>Memory</dt><dd>server {bytes(one.memory.server_bytes)}, learner {bytes(one.memory.learner_bytes)}</dd>
            <dt>Knows</dt><dd>{count(one.items)} items, {count(one.actors)} people and guests</dd>
            <dt>Up for</dt><dd>{span(one.up_s)}</dd>
          </dl>
        </Card>
      </div>
      <Card title="Last errors" aside={<Badge tone={one.last_errors.length ? "bad" : "good"}>{one.last_errors.length || "none"}</Badge>}>
        {one.last_errors.length ? (
          <ul class="errors">{[...one.last_errors].reverse().map((text, at) => <li key={at}><Icon name="alert" size={16} />{text}</li>)}</ul>
        ) : (
          <p class="dim">Nothing failed in the background since the server started.</p>
        )}
      </Card>
    </>
  );
}

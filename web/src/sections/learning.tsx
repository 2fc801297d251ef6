import { useMemo, useRef, useState } from "preact/hooks";
import { Badge, Button, Card, Empty, Failed, Icon, Modal, Segments, Waiting } from "../parts/basics";
import { Chart, Legend, type Mark, type Series } from "../parts/chart";
import { useLoaded } from "../parts/load";
import { get, post, query } from "../api";
import { ago, count, figure, moment, signed } from "../format";
import { digest } from "../stream";
import { confirm, go, say, words } from "../state";
import { Evidence, notLearned } from "./now";
import { STAGE_WORDS } from "../verdict";
import type { Decision, Learning as Told, SystemBins } from "../types";

type Measure = "hits" | "reciprocal" | "log_loss";
const MEASURES: readonly (readonly [Measure, string])[] = [["hits", "HR@20"], ["reciprocal", "MRR@20"], ["log_loss", "Log-loss"]];
const MEANING: Record<Measure, string> = {
  hits: "Share of events whose item stood among the first 20 of the list that was made just before. Higher is better.",
  reciprocal: "Mean of one over the item's place, 0 beyond the 20th. Higher is better.",
  log_loss: "How surprised each was, in nats an event, over the events it had something to say about. Lower is better.",
};
export const SYSTEMS = [
  ["live", "c-live", "Live"], ["anchor", "c-anchor", "Anchor (standing still)"], ["mixture", "c-mixture", "All together (the list)"],
  ["popularity", "c-popularity", "Popularity"], ["transitions", "c-transitions", "Transitions"],
] as const;

/** Sums over the last bins that hold at least so many events: quality moves with what is new and chance is small. */
function rolled(events: number[], bins: SystemBins, measure: Measure, least: number): (number | null)[] {
  const out: (number | null)[] = [];
  let start = 0;
  let sum = 0;
  let n = 0;
  const weight = (at: number) => (measure === "log_loss" ? bins.awake[at] : events[at]);
  for (let at = 0; at < events.length; at++) {
    sum += bins[measure][at];
    n += weight(at);
    while (start < at && n - weight(start) >= least) {
      sum -= bins[measure][start];
      n -= weight(start++);
    }
    out.push(n >= Math.min(20, least) ? sum / n : null);
  }
  return out;
}

const MARK_WORDS: Record<string, string> = {
  publish: "published", rollback: "rolled back", promote: "promoted", demote: "demoted", anchor: "anchored", rest: "rest", wake: "wake",
  swap: "swapped", discard: "discarded", override: "by hand", pause: "paused", resume: "resumed", drift: "drift", refit: "refit",
};
const MARK_TONES: Record<string, Mark["tone"]> = { rollback: "bad", demote: "bad", rest: "bad", promote: "good", publish: "good", swap: "good", anchor: "good" };

function Weights(props: { told: Told; by: "experts" | "layers" }) {
  const { told, by } = props;
  const series = useMemo(() => {
    const order = Object.entries(told.weights[by] ?? {}).sort((one, other) => (other[1].at(-1) ?? 0) - (one[1].at(-1) ?? 0)).slice(0, 7);
    return order.map(([name, values], at): Series & { text: string } => ({ name, color: `s${at + 1}`, values, text: figure(values.at(-1), 2) }));
  }, [told, by]);
  if (!told.ts_ms.length) return <Empty title="No weights yet"><p>They begin to move with the first events.</p></Empty>;
  return (
    <>
      <Chart label="The mixture's weights over time" x={told.ts_ms.map((one) => one / 1000)} series={series} digits={2} height={200} range={() => [0, 1]} />
      <Legend series={series} />
    </>
  );
}

interface Versions {
  published: { name: string; age_ms: number };
  previous: { version: string; offset?: number } | null;
  points: { version: string; offset: number; age_ms: number }[];
  anchor: { offset: number; age_ms: number } | null;
  gate: { stage: string; paused: boolean } | null;
  live: { version: string } | null;
  note?: string;
}

function GoBack(props: { onClose: () => void }) {
  const found = useLoaded((stop) => get<Versions>("/v1/versions", stop), []);
  const [to, setTo] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const choices = [
    ...(found.value?.anchor ? [{ name: "anchor", text: "The anchor", aside: `the last proven weights, ${ago(Date.now() - found.value.anchor.age_ms)}` }] : []),
    ...(found.value?.points ?? []).map((one) => ({ name: one.version, text: one.version, aside: `as it was ${ago(Date.now() - one.age_ms)}` })),
    ...(found.value?.previous ? [{ name: found.value.previous.version, text: found.value.previous.version, aside: "the large model before the present one" }] : []),
  ];
  async function back() {
    if (!to || !(await confirm({ title: `Roll back to ${to}?`, text: "What the live model learned since is undone at once. Events stay; it goes on learning from the next one.", button: "Roll back", danger: true }))) return;
    setBusy(true);
    const since = performance.now();
    try {
      const told = await post<{ rows?: number }>("/v1/rollback", { to });
      say(`Rolled back to ${to} in ${(performance.now() - since).toFixed(0)} ms${told.rows === undefined ? "" : `; ${count(told.rows)} rows changed`}.`, "good");
      props.onClose();
    } catch (error) {
      say(words(error), "bad");
    }
    setBusy(false);
  }
  return (
    <Modal title="Roll back" onClose={props.onClose}>
      {found.error ? <Failed error={found.error} again={found.again} /> : !found.value ? <Waiting /> : !choices.length ? (
        <Empty title="Nothing to go back to yet"><p>{found.value.note ?? "The live model has published nothing that could be undone."}</p></Empty>
      ) : (
        <>
          <fieldset class="choices">
            <legend>To which version?</legend>
            {choices.map((one) => (
              <label key={one.name}>
                <input type="radio" name="to" value={one.name} checked={to === one.name} onChange={() => setTo(one.name)} />
                <span><b>{one.text}</b> <span class="dim">{one.aside}</span></span>
              </label>
            ))}
          </fieldset>
          <div class="row end">
            <Button onClick={props.onClose}>Cancel</Button>
            <Button tone="danger" disabled={!to} busy={busy} onClick={back}><Icon name="back" />Roll back</Button>
          </div>
        </>
      )}
    </Modal>
  );
}

function Handles() {
  const one = digest.value;
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState<string | null>(null);
  const gate = one?.live.gate;
  async function press(name: "pause" | "resume" | "refit", title: string, text: string) {
    if (!(await confirm({ title, text, button: title.replace("?", "") }))) return;
    setBusy(name);
    try {
      await post(`/v1/${name}`);
      say({ pause: "The gate stands still until you press Resume.", resume: "The gate moves by itself again.", refit: "The large model is being fitted; lists go on." }[name], "good");
    } catch (error) {
      say(words(error), "bad");
    }
    setBusy(null);
  }
  return (
    <Card title="What to press" aside={gate && <Badge tone={gate.paused ? "warn" : gate.stage === "live" ? "good" : "live"} title={STAGE_WORDS[gate.stage]}>{gate.paused ? "paused" : gate.stage}</Badge>}>
      <div class="handles">
        <div><Button tone="danger" onClick={() => setOpen(true)}><Icon name="back" />Roll back …</Button><p class="dim">Lists look wrong: undo what was learned since a moment.</p></div>
        {gate?.paused ? (
          <div><Button tone="main" busy={busy === "resume"} onClick={() => press("resume", "Resume?", "The gate promotes, demotes and goes back by itself again, on evidence.")}>Resume</Button><p class="dim">Let the gate make its moves again.</p></div>
        ) : (
          <div><Button busy={busy === "pause"} onClick={() => press("pause", "Pause?", "The gate makes no moves by itself until you resume. Learning goes on, evidence is gathered.")}>Pause</Button><p class="dim">Hold the gate's moves; learning goes on.</p></div>
        )}
        <div><Button busy={busy === "refit" || one?.refit === "fitting"} onClick={() => press("refit", "Refit?", "The large model is fitted anew in a process of its own, which takes minutes. The gate lets it in only if it is not worse.")}>{one?.refit === "fitting" ? "Fitting …" : "Refit"}</Button><p class="dim">Fit the large model anew, in the background.</p></div>
      </div>
      {open && <GoBack onClose={() => setOpen(false)} />}
    </Card>
  );
}

function Decisions(props: { marks: Decision[] }) {
  if (!props.marks.length) return <Empty title="No decisions yet"><p>Publishing, promoting and going back are written here, with the reason.</p></Empty>;
  return (
    <ol class="decisions">
      {props.marks.slice(0, 12).map((one) => (
        <li key={`${one.offset}${one.action}${one.ts_ms}`}>
          <Badge tone={MARK_TONES[one.action] === "bad" ? "bad" : MARK_TONES[one.action] === "good" ? "good" : "plain"}>{MARK_WORDS[one.action] ?? one.action}</Badge>
          <span><b>{one.version}</b>{one.to ? ` → ${one.to}` : ""}{one.because ? <span class="dim"> {one.because}</span> : null}</span>
          <time class="dim" dateTime={new Date(one.ts_ms).toISOString()}>{moment(one.ts_ms)}</time>
        </li>
      ))}
    </ol>
  );
}

/** What was told before with what is new: bins come again only where they changed. */
function joined(before: Told | null, now: Told): Told {
  const kept = before?.ts_ms.filter((at) => at < (now.ts_ms[0] ?? Infinity)).length ?? 0;
  const bins = before ? Math.min(kept, KEPT - now.ts_ms.length) : 0;
  if (!before || bins <= 0) return now;
  const from = kept - bins;
  const more = (old: number[] | undefined, own: number[]) => [...(old?.slice(from, kept) ?? new Array<number>(bins).fill(0)), ...own];
  const systems = Object.fromEntries(Object.entries(now.systems).map(([name, own]) => {
    const old = before.systems[name];
    return [name, { hits: more(old?.hits, own.hits), reciprocal: more(old?.reciprocal, own.reciprocal), log_loss: more(old?.log_loss, own.log_loss), awake: more(old?.awake, own.awake) }];
  }));
  const every = (kind: "layers" | "experts") => {
    const names = new Set([...Object.keys(before.weights[kind] ?? {}), ...Object.keys(now.weights[kind] ?? {})]);
    return Object.fromEntries([...names].map((name) => [name, more(before.weights[kind]?.[name], now.weights[kind]?.[name] ?? new Array<number>(now.ts_ms.length).fill(0))]));
  };
  return { ...now, ts_ms: more(before.ts_ms, now.ts_ms), events: more(before.events, now.events), systems, weights: { layers: every("layers"), experts: every("experts") } };
}
const KEPT = 720;

export function Learning() {
  const [measure, setMeasure] = useState<Measure>("hits");
  const [span, setSpan] = useState<"hour" | "days">("hour");
  const [scenario, setScenario] = useState("");
  const [by, setBy] = useState<"experts" | "layers">("experts");
  const before = useRef<{ asked: string; told: Told } | null>(null);
  const found = useLoaded(async (stop) => {
    const asked = `${span} ${scenario}`;
    const own = before.current?.asked === asked ? before.current.told : null;
    const now = await get<Told>(`/v1/learning${query({ span, scenario, since: own?.ts_ms.at(-1) })}`, stop);
    const same = own && JSON.stringify(own.columns) === JSON.stringify(now.columns);
    const told = same ? joined(own, now) : own ? await get<Told>(`/v1/learning${query({ span, scenario })}`, stop) : now;
    before.current = { asked, told };
    return told;
  }, [span, scenario], span === "hour" ? 2500 : 15_000);
  const told = found.value;
  const total = told?.events.reduce((sum, one) => sum + one, 0) ?? 0;
  const least = Math.max(50, Math.min(1000, total / 8));
  const series = useMemo(() => {
    if (!told) return [];
    return SYSTEMS.filter(([name]) => told.systems[name]?.awake.some((one) => one > 0)).map(([name, color, text]): Series & { key: string } => ({
      key: name, name: text, color, values: rolled(told.events, told.systems[name], measure, least), width: name === "live" || name === "anchor" ? 2.5 : 1.6,
      dash: name === "anchor" ? [7, 5] : undefined,
    }));
  }, [told, measure]);
  const now = (key: string) => series.find((one) => one.key === key)?.values.at(-1) ?? null;
  const live = now("live");
  const still = now("anchor");
  const marks: Mark[] = (told?.marks ?? []).filter((one) => one.action !== "drift" || measure === "log_loss")
    .map((one) => ({ at: one.ts_ms / 1000, text: MARK_WORDS[one.action] ?? one.action, tone: MARK_TONES[one.action] ?? "plain" }))
    .reverse(); // oldest first
  const gate = digest.value?.live.gate;
  return (
    <>
      <Card title="Test, then train" class="wide" aside={<Segments label="Measure" value={measure} options={MEASURES} onChange={setMeasure} />}>
        <div class="row controls">
          <Segments label="Span" value={span} options={[["hour", "Last hour"], ["days", "Two days"]] as const} onChange={setSpan} />
          <label class="field inline">Scenario
            <select value={scenario} onChange={(event) => setScenario(event.currentTarget.value)}>
              <option value="">all</option>
              {digest.value?.scenarios.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          </label>
          {live !== null && still !== null && (
            <p class="lead">
              Live {figure(live, 3)} <span class="dim">against</span> {figure(still, 3)} <span class="dim">standing still:</span>{" "}
              <b class={(measure === "log_loss" ? live < still : live > still) ? "good-text" : live === still ? "" : "warn-text"}>{signed(live - still)}</b>
            </p>
          )}
        </div>
        {found.error && !told ? <Failed error={found.error} again={found.again} /> : !told ? <Waiting lines={5} /> : !series.length ? (
          <Empty title={scenario ? `No event of '${scenario}' was judged yet` : "Nothing was judged yet"} icon="learn">
            <p>Every event that comes in is first guessed by each of them, then learned. Make some and watch the lines begin.</p>
            <div class="row center"><Button tone="main" onClick={() => go("try")}>Try it</Button><Button onClick={() => go("made")}>Play made traffic</Button></div>
          </Empty>
        ) : (
          <>
            <Chart label={`${MEASURES.find(([name]) => name === measure)![1]} over time by system`} x={told.ts_ms.map((one) => one / 1000)} series={series} marks={marks} height={300} />
            <Legend series={series.map((one) => ({ ...one, text: figure(one.values.at(-1), 3), note: told.columns[one.key] !== one.key ? told.columns[one.key] : undefined }))} />
            <p class="dim">{MEANING[measure]} {count(total)} events judged in this span, each before it was learned; lines are means over the last {count(Math.round(least))} or so.</p>
          </>
        )}
      </Card>
      <Handles />
      <div class="grid two">
        <Card title="Who is trusted" aside={<Segments label="Layer" value={by} options={[["experts", "Experts"], ["layers", "Layers"]] as const} onChange={setBy} />}>
          {told ? <Weights told={told} by={by} /> : <Waiting />}
        </Card>
        <Card title="The gate's evidence">
          {gate ? <Evidence readings={gate.readings} /> : <Empty title="No gate yet"><p>{digest.value ? notLearned(digest.value) : ""}</p></Empty>}
        </Card>
      </div>
      <Card title="Decisions">{told ? <Decisions marks={told.marks} /> : <Waiting />}</Card>
    </>
  );
}

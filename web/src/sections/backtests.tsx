import { useEffect, useState } from "preact/hooks";
import { Badge, Button, Card, Empty, Failed, Icon, Segments, Waiting } from "../parts/basics";
import { Chart, Legend, type Series } from "../parts/chart";
import { useLoaded } from "../parts/load";
import { get, post } from "../api";
import { ago, count, figure, moment, span } from "../format";
import { confirm, say, words } from "../state";

interface Figures {
  system: string;
  "hit_rate@20": number | null;
  "mrr@20": number | null;
  log_loss: number | null;
}
interface Summary {
  name: string;
  kind: "replay" | "curve";
  made_ms: number;
  error?: string;
  judged_events?: number;
  sample?: number;
  start?: string;
  end?: string;
  control?: boolean;
  delays?: string[];
  mixture?: Figures | null;
  best?: Figures | null;
}
export interface Job {
  name: string;
  kind: string;
  state: "running" | "done" | "failed";
  step: string;
  done: number;
  total: number;
  since_ms: number;
  took_s?: number;
  error?: string;
}
interface Row {
  system: string;
  group: string;
  slice: string;
  events: number;
  metrics: Record<string, number | null>;
}
interface Report {
  conditions: { command: string; start: string; end: string; judged_events: number; learned_events: number; sample: number };
  rows: Row[];
  over_time: { span_hours: number; start_ms: number[]; events: number[]; series: Record<string, Record<string, number[]>> };
  differences: { system: string; measure: string; estimate: number | null; low: number | null; high: number | null }[];
  control: Row[] | null;
}
interface Point {
  label: string;
  delay_s: number | null;
  batch?: boolean;
  events: number;
  rows: Row[];
}
interface Curve {
  conditions: Report["conditions"];
  points: Point[];
  control: Point[] | null;
  systems: string[];
  slices: string[];
  sentences: string[];
}
type Read = { name: string; kind: "replay"; report: Report } | { name: string; kind: "curve"; curve: Curve };

const METRICS = [["hit_rate@20", "HR@20"], ["mrr@20", "MRR@20"], ["ndcg@10", "NDCG@10"], ["log_loss", "Log-loss"]] as const;
const GROUPS: Record<string, string> = { mixture: "The list", pool: "Pools", expert: "Experts", floor: "Floors" };

export function Progress(props: { job: Job; onStop?: () => void }) {
  const { job } = props;
  const share = job.total ? job.done / job.total : 0;
  return (
    <div class="progress-box" role="status">
      <p><b>{job.name}</b> <span class="dim">{job.step}{job.total ? `, ${count(job.done)} of ${count(job.total)}` : " …"}; {span((Date.now() - job.since_ms) / 1000)} so far</span></p>
      <progress max={1} value={job.total ? share : undefined} aria-label={`Progress of ${job.name}`} />
      {props.onStop && <Button onClick={props.onStop}>Stop</Button>}
    </div>
  );
}

function Start(props: { onStarted: () => void }) {
  const [kind, setKind] = useState<"replay" | "curve">("replay");
  const [sample, setSample] = useState(0.2);
  const [control, setControl] = useState(false);
  const [busy, setBusy] = useState(false);
  async function start() {
    setBusy(true);
    try {
      await post("/v1/backtests", { kind, sample, control });
      props.onStarted();
    } catch (error) {
      say(words(error), "bad");
    }
    setBusy(false);
  }
  return (
    <Card title="Start one">
      <p class="dim">The server's own log goes once more through the same code that serves, event by event: guess, look, learn. In a process of its own that stands back behind everything else.</p>
      <div class="row controls">
        <Segments label="Kind" value={kind} options={[["replay", "How good were the lists"], ["curve", "What freshness is worth"]] as const} onChange={setKind} />
        <label class="field inline">Score
          <select value={String(sample)} onChange={(event) => setSample(Number(event.currentTarget.value))}>
            <option value="0.05">1 of 20 events</option><option value="0.2">1 of 5 events</option><option value="1">every event</option>
          </select>
        </label>
        <label class="check"><input type="checkbox" checked={control} onChange={(event) => setControl(event.currentTarget.checked)} /> with the shuffled control</label>
        <Button tone="main" busy={busy} onClick={start}><Icon name="made" />Start</Button>
      </div>
      <p class="dim">{kind === "curve" ? "One replay each with events taking effect at once, after 10 minutes, after a day, and never." : "The log's last tenth is scored; everything before it is learned first."}</p>
    </Card>
  );
}

function Numbers(props: { rows: Row[]; control: Row[] | null }) {
  const own = props.rows.filter((one) => one.slice === "all");
  const shuffled = new Map((props.control ?? []).map((one) => [one.system, one]));
  const groups = ["mixture", "floor", "expert", "pool"];
  const [every, setEvery] = useState(false);
  const sorted = groups.flatMap((group) => own.filter((one) => one.group === group).sort((one, other) => (other.metrics["hit_rate@20"] ?? 0) - (one.metrics["hit_rate@20"] ?? 0)));
  const shown = every ? sorted : sorted.slice(0, 12);
  const best = (metric: string) => {
    const values = own.map((one) => one.metrics[metric]).filter((one): one is number => typeof one === "number");
    return metric === "log_loss" ? Math.min(...values) : Math.max(...values);
  };
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label="Figures of every system">
        <table class="plain">
          <thead><tr><th scope="col">System</th><th scope="col">Kind</th>{METRICS.map(([name, text]) => <th key={name} scope="col" class="number">{text}</th>)}{shuffled.size > 0 && <th scope="col" class="number">HR@20 shuffled</th>}</tr></thead>
          <tbody>
            {shown.map((one) => (
              <tr key={one.system} class={one.group === "mixture" ? "strong" : ""}>
                <th scope="row">{one.system === "mixture" ? "All together (the list)" : one.system}</th><td class="dim">{GROUPS[one.group] ?? one.group}</td>
                {METRICS.map(([name]) => <td key={name} class={`number ${one.metrics[name] === best(name) ? "best" : ""}`}>{figure(one.metrics[name])}</td>)}
                {shuffled.size > 0 && <td class="number">{figure(shuffled.get(one.system)?.metrics["hit_rate@20"])}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {sorted.length > 12 && <Button tone="ghost" onClick={() => setEvery(!every)}>{every ? "Fewer" : `All ${sorted.length}`}</Button>}
    </>
  );
}

function Replay(props: { report: Report }) {
  const { report } = props;
  const [measure, setMeasure] = useState<"hit_rate" | "mrr">("hit_rate");
  const time = report.over_time;
  const names = ["mixture", "live/served", "popularity of the last hour", "transitions/ever", "sequence/live"].filter((name) => time.series[name]?.[measure]);
  const colors = ["c-mixture", "c-live", "c-popularity", "c-transitions", "c-anchor"];
  const series = names.map((name, at): Series => ({ name, color: colors[at], values: time.series[name][measure], width: name === "mixture" ? 2.5 : 1.6 }));
  const slices = [...new Set(report.rows.map((one) => one.slice))].filter((name) => name !== "all");
  const mixture = (slice: string) => report.rows.find((one) => one.slice === slice && one.system === "mixture");
  const floor = (slice: string) => report.rows.find((one) => one.slice === slice && one.group === "floor");
  return (
    <>
      <p class="dim">{count(report.conditions.judged_events)} events scored of {count(report.conditions.learned_events)} learned, {report.conditions.start} to {report.conditions.end}.</p>
      {time.start_ms.length > 1 && (
        <>
          <div class="row between"><h3>Quality over time</h3><Segments label="Measure" value={measure} options={[["hit_rate", "HR@20"], ["mrr", "MRR@20"]] as const} onChange={setMeasure} /></div>
          <Chart label="Quality over time by system" x={time.start_ms.map((one) => one / 1000)} series={series} />
          <Legend series={series} />
        </>
      )}
      <h3>Figures</h3>
      <Numbers rows={report.rows} control={report.control} />
      {slices.length > 0 && (
        <>
          <h3>Where it is good</h3>
          <div class="scroll" tabIndex={0} role="region" aria-label="Figures by slice">
            <table class="plain">
              <thead><tr><th scope="col">Events</th><th scope="col" class="number">how many</th><th scope="col" class="number">HR@20</th><th scope="col" class="number">floor</th><th scope="col" class="number">MRR@20</th></tr></thead>
              <tbody>{slices.map((name) => <tr key={name}><th scope="row">{name}</th><td class="number">{count(mixture(name)?.events)}</td><td class="number">{figure(mixture(name)?.metrics["hit_rate@20"])}</td><td class="number dim">{figure(floor(name)?.metrics["hit_rate@20"])}</td><td class="number">{figure(mixture(name)?.metrics["mrr@20"])}</td></tr>)}</tbody>
            </table>
          </div>
        </>
      )}
      <p class="dim">The same on the command line, where no server holds the directory: <code>{report.conditions.command}</code></p>
    </>
  );
}

function Staleness(props: { curve: Curve }) {
  const { curve } = props;
  const [metric, setMetric] = useState<"hit_rate@20" | "mrr@20" | "log_loss">("hit_rate@20");
  const value = (point: Point, system: string) => point.rows.find((one) => one.system === system && one.slice === "all")?.metrics[metric] ?? null;
  const colors = ["c-mixture", "c-live", "c-transitions", "c-anchor", "c-popularity"];
  const lines = (points: Point[], names: string[], dash?: number[], more = ""): Series[] =>
    names.map((name, at) => ({ name: name + more, color: colors[at % colors.length], values: points.map((one) => value(one, name)), dash, width: at ? 1.6 : 2.5 }));
  const series = [...lines(curve.points, curve.systems.slice(0, 5)), ...(curve.control ? lines(curve.control, curve.systems.slice(0, 1), [3, 4], ", shuffled") : [])];
  return (
    <>
      <p class="dim">{count(curve.points[0]?.events)} events scored at each delay, {curve.conditions.start} to {curve.conditions.end}.</p>
      <div class="row between"><h3>Quality against staleness</h3><Segments label="Measure" value={metric} options={[["hit_rate@20", "HR@20"], ["mrr@20", "MRR@20"], ["log_loss", "Log-loss"]] as const} onChange={setMetric} /></div>
      <Chart label="Quality against the delay between an event and its effect" x={curve.points.map((_, at) => at)} series={series} time={false} ticks={curve.points.map((one) => one.label)} />
      <Legend series={series} />
      <ul class="said">{curve.sentences.map((one) => <li key={one}>{one}</li>)}</ul>
    </>
  );
}

function One(props: { name: string; onClose: () => void }) {
  const found = useLoaded((stop) => get<Read>(`/v1/backtests/${encodeURIComponent(props.name)}`, stop), [props.name]);
  const read = found.value?.name === props.name ? found.value : null;
  return (
    <Card title={props.name} aside={<Button tone="ghost" onClick={props.onClose}>Close</Button>}>
      {found.error ? <Failed error={found.error} again={found.again} /> : !read ? <Waiting lines={8} /> : read.kind === "replay" ? <Replay report={read.report} /> : <Staleness curve={read.curve} />}
    </Card>
  );
}

export function Backtests() {
  const [fast, setFast] = useState(false);
  const found = useLoaded((stop) => get<{ reports: Summary[]; job: Job | null }>("/v1/backtests", stop), [], fast ? 700 : 10_000);
  const [open, setOpen] = useState<string | null>(null);
  const job = found.value?.job ?? null;
  const running = job?.state === "running";
  useEffect(() => {
    if (fast && !running && job && job.kind !== "check") {
      if (job.state === "done") {
        say(`${job.name} is ready.`, "good");
        setOpen(job.name);
      } else if (job.state === "failed") say(`${job.name} ended: ${job.error}`, "bad");
    }
    setFast(running);
  }, [running]);
  async function stop() {
    if (!(await confirm({ title: "Stop this backtest?", text: "What it has done so far is thrown away.", button: "Stop", danger: true }))) return;
    await post("/v1/backtests/stop").catch((error) => say(words(error), "bad"));
    found.again();
  }
  return (
    <>
      {running && job ? <Card title="Running"><Progress job={job} onStop={stop} /></Card> : <Start onStarted={() => { setFast(true); found.again(); }} />}
      {!running && job?.state === "failed" && job.kind !== "check" && <Failed error={`${job.name} ended: ${job.error}`} />}
      <Card title="Reports" aside={<span class="dim">in the data directory's folder <code>reports</code></span>}>
        {found.error && !found.value ? <Failed error={found.error} again={found.again} /> : !found.value ? <Waiting /> : !found.value.reports.length ? (
          <Empty title="No report yet" icon="back"><p>Start one above, or write one there: <code>everbrook replay DIR --report DIR/reports/name</code></p></Empty>
        ) : (
          <div class="scroll" tabIndex={0} role="region" aria-label="Reports">
            <table class="plain reports">
              <thead><tr><th scope="col">Report</th><th scope="col">What</th><th scope="col" class="number">Events</th><th scope="col" class="number">HR@20</th><th scope="col" class="number">best single</th><th scope="col" class="number">MRR@20</th><th scope="col">Made</th></tr></thead>
              <tbody>
                {found.value.reports.map((one) => (
                  <tr key={one.name}>
                    <th scope="row"><button type="button" class="link" onClick={() => setOpen(one.name)}>{one.name}</button></th>
                    <td>{one.error ? <Badge tone="bad" title={one.error}>unreadable</Badge> : one.kind === "curve" ? `staleness: ${one.delays?.join(", ")}` : `lists${one.control ? ", with control" : ""}`}</td>
                    <td class="number">{count(one.judged_events)}</td><td class="number">{figure(one.mixture?.["hit_rate@20"])}</td>
                    <td class="number dim">{figure(one.best?.["hit_rate@20"])}</td><td class="number">{figure(one.mixture?.["mrr@20"])}</td>
                    <td><time dateTime={new Date(one.made_ms).toISOString()} title={moment(one.made_ms)}>{ago(one.made_ms)}</time></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
      {open && <One name={open} onClose={() => setOpen(null)} />}
    </>
  );
}

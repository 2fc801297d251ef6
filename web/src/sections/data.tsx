import { useEffect, useState } from "preact/hooks";
import { Badge, Button, Card, Empty, Failed, Icon, Meter, Segments, Waiting } from "../parts/basics";
import { useLoaded } from "../parts/load";
import { get, patch, post, query } from "../api";
import { ago, count } from "../format";
import { say, words } from "../state";
import type { Item } from "../types";
import { Progress, type Job } from "./backtests";

interface Counts {
  events: number;
  items: number;
  actors: number;
  users: number;
  records: number;
  kinds: { kind: string; events: number; weight: number }[];
  by_scenario: { scenario: string | null; kind: string; events: number }[];
}
interface Check {
  events: number;
  kept: number;
  made_ms: number;
  lines: { level: "PASS" | "WARN" | "FAIL"; name: string; count: number; text: string; action: string }[];
}
interface Catalogue {
  items: Item[];
  found: number;
  known: number;
  hidden: number;
}

function CheckCard() {
  const [fast, setFast] = useState(false);
  const found = useLoaded((stop) => get<{ check: Check | null; job: Job | null }>("/v1/check", stop), [], fast ? 600 : 0);
  const job = found.value?.job;
  const running = job?.state === "running" && job.kind === "check";
  useEffect(() => setFast(running), [running]);
  async function start() {
    try {
      await post("/v1/check");
      setFast(true);
      found.again();
    } catch (error) {
      say(words(error), "bad");
    }
  }
  const check = found.value?.check;
  const tone = { PASS: "good", WARN: "warn", FAIL: "bad" } as const;
  return (
    <Card title="Is the data sound?" aside={<Button busy={running} onClick={start}>{check ? "Check again" : "Check now"}</Button>}>
      {running && job && <Progress job={job} />}
      {found.error ? <Failed error={found.error} again={found.again} /> : !found.value ? <Waiting /> : !check ? (
        !running && <Empty title="Not checked yet" icon="data"><p>Looks at every event in the log as <code>everbrook check</code> looks at a file: what is missing, doubled, too fast, out of time.</p></Empty>
      ) : (
        <>
          <ul class="checks">
            {check.lines.map((one) => <li key={one.name + one.text}><Badge tone={tone[one.level]}>{one.level.toLowerCase()}</Badge><span><b>{one.name}</b> {one.text}{one.action && <span class="dim">. An import {one.action}</span>}</span></li>)}
          </ul>
          <p class="dim">{count(check.events)} events, checked {ago(check.made_ms)}.</p>
        </>
      )}
    </Card>
  );
}

function CountsCard() {
  const found = useLoaded((stop) => get<Counts>("/v1/counts", stop), [], 5000);
  const told = found.value;
  if (!told) return <Card title="What happened">{found.error ? <Failed error={found.error} again={found.again} /> : <Waiting />}</Card>;
  const most = Math.max(...told.kinds.map((one) => one.events), 1);
  const places = [...new Set(told.by_scenario.map((one) => one.scenario))];
  const kinds = told.kinds.filter((one) => one.events);
  return (
    <Card title="What happened" aside={<span class="dim">{count(told.users)} users, {count(told.actors)} with guests</span>}>
      {!told.events ? <Empty title="No events yet" icon="data"><p>Send some to <code>/v1/events</code>, or import a file.</p></Empty> : (
        <>
          <ul class="bars kinds">
            {kinds.map((one) => <li key={one.kind}><span>{one.kind} <small class="dim">{one.weight > 0 ? "speaks for" : one.weight < 0 ? "speaks against" : "only seen"}</small></span><Meter label={one.kind} share={one.events / most} text={`${one.events} events`} tone={one.weight < 0 ? "bad" : ""} /><b>{count(one.events)}</b></li>)}
          </ul>
          {places.some((one) => one !== null) && (
            <div class="scroll" tabIndex={0} role="region" aria-label="Events by scenario and kind">
              <table class="plain">
                <thead><tr><th scope="col">Scenario</th>{kinds.map((one) => <th key={one.kind} scope="col" class="number">{one.kind}</th>)}</tr></thead>
                <tbody>{places.map((place) => <tr key={place ?? "-"}><th scope="row">{place ?? "none"}</th>{kinds.map((kind) => <td key={kind.kind} class="number">{count(told.by_scenario.find((one) => one.scenario === place && one.kind === kind.kind)?.events ?? 0)}</td>)}</tr>)}</tbody>
              </table>
            </div>
          )}
        </>
      )}
    </Card>
  );
}

const PAGE = 25;

function CatalogueCard() {
  const [search, setSearch] = useState("");
  const [asked, setAsked] = useState("");
  const [shown, setShown] = useState<"all" | "visible" | "hidden">("all");
  const [start, setStart] = useState(0);
  const [busy, setBusy] = useState<string | null>(null);
  useEffect(() => {
    const wait = setTimeout(() => { setAsked(search.trim()); setStart(0); }, 180);
    return () => clearTimeout(wait);
  }, [search]);
  const found = useLoaded((stop) => get<Catalogue>(`/v1/catalogue${query({ search: asked, shown, k: PAGE, start })}`, stop), [asked, shown, start]);
  const told = found.value;
  async function hide(one: Item) {
    setBusy(one.id);
    try {
      await patch(`/v1/items/${encodeURIComponent(one.id)}`, { hidden: !one.hidden });
      say(one.hidden ? `${one.title ?? one.id} may be shown again.` : `${one.title ?? one.id} is in no list from now on.`, "good");
      found.again();
    } catch (error) {
      say(words(error), "bad");
    }
    setBusy(null);
  }
  return (
    <Card title="Catalogue" aside={told && <span class="dim">{count(told.known)} items, {count(told.hidden)} hidden</span>}>
      <div class="row controls">
        <label class="field grow">Title or id<input type="search" value={search} placeholder="search" onInput={(event) => setSearch(event.currentTarget.value)} /></label>
        <Segments label="Which" value={shown} options={[["all", "All"], ["visible", "Visible"], ["hidden", "Hidden"]] as const} onChange={(value) => { setShown(value); setStart(0); }} />
      </div>
      {found.error && !told ? <Failed error={found.error} again={found.again} /> : !told ? <Waiting lines={8} /> : !told.items.length ? (
        <Empty title={told.known ? "Nothing found" : "No items yet"} icon="search"><p>{told.known ? "Another word, or another choice above." : "Send some to /v1/items, import a file, or play made traffic."}</p></Empty>
      ) : (
        <>
          <div class="scroll" tabIndex={0} role="region" aria-label="Items">
            <table class="plain items">
              <thead><tr><th scope="col">Item</th><th scope="col">Categories</th><th scope="col" class="number">Events</th><th scope="col"><span class="sr">Hide or show</span></th></tr></thead>
              <tbody>
                {told.items.map((one) => (
                  <tr key={one.id} class={one.hidden ? "off" : ""}>
                    <th scope="row">{one.title ?? one.id} <small class="dim mono">{one.id}</small> {one.made && <Badge tone="live">made</Badge>}</th>
                    <td class="dim">{one.categories.join(", ")}</td>
                    <td class="number">{count(one.events)}</td>
                    <td class="number"><Button tone="ghost" busy={busy === one.id} aria-label={`${one.hidden ? "Show" : "Hide"} ${one.title ?? one.id}`} onClick={() => hide(one)}><Icon name={one.hidden ? "show" : "hide"} size={18} />{one.hidden ? "Show" : "Hide"}</Button></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <div class="row between">
            <span class="dim">{count(start + 1)} to {count(start + told.items.length)} of {count(told.found)}</span>
            <span class="row"><Button disabled={!start} onClick={() => setStart(Math.max(0, start - PAGE))}>Before</Button><Button disabled={start + PAGE >= told.found} onClick={() => setStart(start + PAGE)}>Next</Button></span>
          </div>
        </>
      )}
    </Card>
  );
}

export function Data() {
  return (
    <>
      <div class="grid two"><CountsCard /><CheckCard /></div>
      <CatalogueCard />
    </>
  );
}

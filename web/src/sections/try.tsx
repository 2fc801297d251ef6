import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Badge, Button, Card, Empty, Failed, Icon, Segments, Waiting } from "../parts/basics";
import { ApiError, get, post, query } from "../api";
import { ago, count, ms, probability } from "../format";
import { digest } from "../stream";
import { go, say, words } from "../state";
import type { Done, Item, List, Listed, Reason } from "../types";
import { ItemPanel } from "./item";

const ACTIONS = [
  { kind: "view", icon: "click", text: "Click", done: "clicked" },
  { kind: "like", icon: "like", text: "Like", done: "liked" },
  { kind: "cart", icon: "cart", text: "Add to cart", done: "put in the cart" },
  { kind: "dismiss", icon: "no", text: "Dismiss", done: "dismissed" },
] as const;
type Action = (typeof ACTIONS)[number];

export interface Asker {
  user?: string;
  session?: string;
}

const newGuest = () => `page-${crypto.getRandomValues(new Uint32Array(2)).join("").slice(0, 12)}`;

interface Wishes {
  scenario: string;
  diversity: number;
  explore: number;
  freshness: number;
  filter: string;
  query: string;
  excludeSeen: boolean;
  k: number;
}
const PLAIN: Wishes = { scenario: "", diversity: 0, explore: 0, freshness: 0, filter: "", query: "", excludeSeen: true, k: 12 };

function bodyOf(who: Asker, wishes: Wishes) {
  return {
    ...who, k: wishes.k, exclude_seen: wishes.excludeSeen,
    ...(wishes.scenario ? { scenario: wishes.scenario } : {}),
    ...(wishes.diversity ? { diversity: wishes.diversity } : {}),
    ...(wishes.explore ? { explore: wishes.explore } : {}),
    ...(wishes.freshness ? { freshness: wishes.freshness } : {}),
    ...(wishes.filter.trim() ? { filter: wishes.filter } : {}),
    ...(wishes.query.trim() ? { query: wishes.query } : {}),
  };
}

interface Told {
  text: string;
  list_ms: number | null;
  weights_ms: number | null;
  version: string | null;
  waits: boolean;
  moved: number;
}

/** Rows glide from where they were to where they are. */
function useGlide(keys: string[]) {
  const box = useRef<HTMLOListElement>(null);
  const before = useRef(new Map<string, number>());
  useLayoutEffect(() => {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const now = new Map<string, number>();
    for (const row of box.current?.children ?? []) {
      const name = (row as HTMLElement).dataset.item!;
      const top = (row as HTMLElement).offsetTop;
      now.set(name, top);
      const was = before.current.get(name);
      if (calm || !before.current.size) continue;
      if (was === undefined) row.animate([{ opacity: 0, transform: "translateX(14px)" }, { opacity: 1, transform: "none" }], { duration: 380, easing: "ease-out" });
      else if (was !== top) row.animate([{ transform: `translateY(${was - top}px)` }, { transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.8,.2,1)" });
    }
    before.current = now;
  }, [keys.join("\n")]);
  return box;
}

/** A list that comes while a row is being pressed waits until it is let go: what was pressed is what is meant. */
function usePress() {
  const held = useRef(false);
  const waiting = useRef<(() => void)[]>([]);
  useEffect(() => {
    const letGo = () => {
      held.current = false;
      const all = waiting.current.splice(0);
      setTimeout(() => all.forEach((one) => one()), 0); // after the click that follows
    };
    addEventListener("pointerup", letGo);
    addEventListener("pointercancel", letGo);
    return () => {
      removeEventListener("pointerup", letGo);
      removeEventListener("pointercancel", letGo);
      letGo();
    };
  }, []);
  return {
    press: () => { held.current = true; },
    released: () => (held.current ? new Promise<void>((free) => waiting.current.push(free)) : Promise.resolve()),
  };
}

/** Reasons that say the same are one. */
function joined(reasons: Reason[]): Reason[] {
  const found = new Map<string, Reason>();
  for (const one of reasons) {
    const before = found.get(one.text);
    found.set(one.text, before ? { ...before, share: before.share + one.share, expert: `${before.expert}, ${one.expert}` } : one);
  }
  return [...found.values()].filter((one, at) => !at || one.share >= 0.01);
}

function Row(props: { one: Listed; place: number; was: number | null; top: number; fresh: boolean; onAct: (action: Action) => void; onOpen: () => void }) {
  const { one, place, was } = props;
  const step = was === null ? null : was - place;
  const title = one.title ?? one.id;
  return (
    <li data-item={one.id} class={props.fresh ? "listed changed" : "listed"}>
      <span class="place" aria-label={`Place ${place + 1}`}>{place + 1}</span>
      <div class="listed-main">
        <button type="button" class="link title" onClick={props.onOpen}>{title}</button>
        <span class="reasons">
          {joined(one.reasons ?? []).map((reason) => (
            <span key={reason.expert + reason.text} class="reason" title={`${reason.expert}: ${(100 * reason.share).toFixed(0)} % of it`}>{reason.text}<small>{(100 * reason.share).toFixed(0)} %</small></span>
          ))}
          {one.propensity !== undefined && one.propensity < 1 && <span class="reason" title="The chance that it stood in this place">propensity {one.propensity.toFixed(2)}</span>}
        </span>
      </div>
      <span class="score" title={`Probability that it comes next: ${one.score}`}>
        <span class="score-bar" aria-hidden="true"><span style={{ width: `${Math.max(2, 100 * (one.score / props.top))}%` }} /></span>
        {probability(one.score)}
      </span>
      <span class={`step ${step === null ? "new" : step > 0 ? "up" : step < 0 ? "down" : ""}`}>
        {!props.fresh ? "" : step === null ? "new" : step > 0 ? `▲ ${step}` : step < 0 ? `▼ ${-step}` : ""}
      </span>
      <span class="acts">
        {ACTIONS.map((action) => (
          <button type="button" key={action.kind} class={`act ${action.kind}`} title={action.text} aria-label={`${action.text}: ${title}`} onClick={() => props.onAct(action)}>
            <Icon name={action.icon} size={18} />
          </button>
        ))}
      </span>
    </li>
  );
}

function Who(props: { who: Asker; onChange: (who: Asker) => void }) {
  const { who } = props;
  const [text, setText] = useState("");
  const [found, setFound] = useState<{ id: string; events: number }[]>([]);
  const guest = who.user === undefined;
  useEffect(() => {
    if (guest) return;
    const stop = new AbortController();
    const wait = setTimeout(() => {
      get<{ people: { id: string; events: number }[] }>(`/v1/people${query({ search: text, k: 12 })}`, stop.signal).then((told) => setFound(told.people), () => {});
    }, 120);
    return () => {
      clearTimeout(wait);
      stop.abort();
    };
  }, [text, guest]);
  return (
    <div class="who">
      <Segments label="Who" value={guest ? "guest" : "user"} options={[["guest", "A guest"], ["user", "A user"]] as const} onChange={(kind) => props.onChange(kind === "guest" ? { session: newGuest() } : { user: "" })} />
      {guest ? (
        <Button tone="ghost" onClick={() => props.onChange({ session: newGuest() })}>Be somebody new</Button>
      ) : (
        <form onSubmit={(event) => { event.preventDefault(); if (text.trim()) props.onChange({ user: text.trim() }); }}>
          <label class="field">User id
            <input value={text} placeholder="begin to type" autocomplete="off" spellcheck={false} onInput={(event) => setText(event.currentTarget.value)} />
          </label>
          <div class="picks" role="group" aria-label="Known users">
            {found.map((one) => (
              <button type="button" key={one.id} class="pick" aria-pressed={who.user === one.id} onClick={() => { props.onChange({ user: one.id }); }}>
                {one.id} <small>{one.events}</small>
              </button>
            ))}
            {!found.length && <p class="dim">{text ? "No such user; Enter makes a new one." : "No user is known yet; type a name and press Enter."}</p>}
          </div>
        </form>
      )}
    </div>
  );
}

function History(props: { events: Done[]; onOpen: (item: string) => void }) {
  if (!props.events.length) return <p class="dim pad">Nothing yet. Click something in the list: it is here and in the next list at once.</p>;
  return (
    <ol class="history">
      {props.events.slice(0, 14).map((one, at) => (
        <li key={`${one.item}${one.ts}${at}`}>
          <button type="button" class="link" onClick={() => props.onOpen(one.item)}>{one.title ?? one.item}</button>
          <span class="dim">{one.kind}, {ago(one.ts)}</span>
        </li>
      ))}
    </ol>
  );
}

function Slide(props: { name: string; value: number; low: number; high: number; text: string; onChange: (value: number) => void }) {
  const id = `slide-${props.name}`;
  return (
    <div class="slide">
      <label for={id}>{props.name}</label>
      <output for={id}>{props.value.toFixed(2)}</output>
      <input id={id} type="range" min={props.low} max={props.high} step={0.05} value={props.value} aria-describedby={`${id}-text`} onInput={(event) => props.onChange(Number(event.currentTarget.value))} />
      <p id={`${id}-text`} class="dim">{props.text}</p>
    </div>
  );
}

function Find(props: { onOpen: (item: string) => void }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState<Item[] | null>(null);
  useEffect(() => {
    if (text.trim().length < 2) {
      setFound(null);
      return;
    }
    const stop = new AbortController();
    const wait = setTimeout(() => get<{ items: Item[] }>(`/v1/catalogue${query({ search: text.trim(), k: 8 })}`, stop.signal).then((told) => setFound(told.items), () => {}), 150);
    return () => {
      clearTimeout(wait);
      stop.abort();
    };
  }, [text]);
  return (
    <div class="find">
      <label class="field">Find an item by its title
        <input type="search" value={text} onInput={(event) => setText(event.currentTarget.value)} placeholder="two letters or more" />
      </label>
      {found && (
        <ul class="found" aria-label="Items found">
          {found.map((one) => <li key={one.id}><button type="button" class="link" onClick={() => props.onOpen(one.id)}>{one.title ?? one.id}</button> <span class="dim">{count(one.events)} events{one.hidden ? ", hidden" : ""}</span></li>)}
          {!found.length && <li class="dim">No title has '{text.trim()}' in it.</li>}
        </ul>
      )}
    </div>
  );
}

/** Where in a filter an error stands, from the hint that shows it under the text. */
function FilterError(props: { error: ApiError }) {
  const { error } = props;
  const [text, under] = (error.hint ?? "").split("\n");
  const at = under?.indexOf("^") ?? -1;
  const word = at < 0 ? null : /^[\w.`]+|^\S/.exec((text ?? "").slice(at));
  const end = at + (word?.[0].length ?? 1);
  return (
    <div class="filter-error" id="filter-error" role="alert">
      {text !== undefined && at >= 0 && (
        <p class="mono" data-test="filter-at"><span>{text.slice(0, at)}</span><mark>{text.slice(at, end) || "␣"}</mark><span>{text.slice(end)}</span></p>
      )}
      <p>{error.message}</p>
    </div>
  );
}

export function TryIt() {
  const [who, setWho] = useState<Asker>({ session: newGuest() });
  const [wishes, setWishes] = useState<Wishes>(PLAIN);
  const [list, setList] = useState<List | null>(null);
  const [was, setWas] = useState<Map<string, number>>(new Map());
  const [fresh, setFresh] = useState(false);
  const [history, setHistory] = useState<Done[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [told, setTold] = useState<Told | null>(null);
  const [busy, setBusy] = useState(false);
  const [open, setOpen] = useState<string | null>(null);
  const serial = useRef(0); // of lists asked for
  const acted = useRef(0); // of what was done: it tells its times, whatever is wished meanwhile
  const { press, released } = usePress();
  const ready = who.user === undefined || who.user !== "";
  const scenarios = digest.value?.scenarios ?? [];
  const wish = (change: Partial<Wishes>) => setWishes((before) => ({ ...before, ...change }));

  async function ask(own: number, compared: List | null): Promise<number> {
    const next = await post<List>("/v1/recommend", bodyOf(who, wishes));
    await released();
    const places = new Map((compared ?? next).items.map((one, at) => [one.id, at]));
    const moved = next.items.filter((one, at) => places.get(one.id) !== at).length;
    if (own !== serial.current) return moved;
    setWas(places);
    setFresh(compared !== null);
    setList(next);
    setError(null);
    return moved;
  }

  async function look(own: number) {
    const found = await get<{ events: Done[] }>(`/v1/history${query({ ...who, k: 20 })}`);
    if (own === serial.current) setHistory(found.events);
  }

  useEffect(() => {
    const own = ++serial.current;
    if (!ready) return;
    const wait = setTimeout(() => {
      setBusy(true);
      Promise.all([ask(own, null), look(own)]).catch((failure) => own === serial.current && setError(failure)).finally(() => own === serial.current && setBusy(false));
    }, list ? 160 : 0);
    return () => clearTimeout(wait);
  }, [who.user, who.session, JSON.stringify(wishes)]);

  useEffect(() => {
    if (!list || list.items.length || wishes.filter || wishes.query) return;
    const wait = setTimeout(() => void ask(++serial.current, null).catch(() => {}), 1500); // items may come any moment
    return () => clearTimeout(wait);
  }, [list]);

  useEffect(() => {
    acted.current++;
    setTold(null);
  }, [who.user, who.session]);

  async function act(one: { id: string; title?: string | null }, place: number | null, action: Action) {
    const own = ++serial.current;
    const turn = ++acted.current;
    const since = performance.now();
    const before = list;
    const text = `${one.title ?? one.id} ${action.done}`;
    setBusy(true);
    setTold({ text, list_ms: null, weights_ms: null, version: null, waits: true, moved: 0 });
    try {
      const event = {
        ...who, item: one.id, kind: action.kind, id: crypto.randomUUID?.() ?? `${Date.now()}-${own}`,
        ...(wishes.scenario ? { scenario: wishes.scenario } : {}), ...(before && place !== null ? { request: before.request, position: place } : {}),
      };
      const receipt = await post<{ offset: number }>("/v1/events", { events: [event] });
      const moved = await ask(own, before);
      if (turn !== acted.current) return;
      const list_ms = performance.now() - since;
      setTold({ text, list_ms, weights_ms: null, version: null, waits: true, moved });
      if (own === serial.current) setBusy(false);
      void look(own).catch(() => {});
      const learned = await get<{ reached: boolean; version: string | null; offset: number | null }>(`/v1/learned${query({ offset: receipt.offset, wait_ms: 8000 })}`);
      if (turn !== acted.current) return;
      const weights_ms = learned.reached ? performance.now() - since : null;
      const again = learned.reached ? await ask(own, before) : moved;
      setTold({ text, list_ms, weights_ms, version: learned.version, waits: false, moved: again });
    } catch (failure) {
      if (turn !== acted.current) return;
      setBusy(false);
      setTold(null);
      say(words(failure), "bad");
    }
  }

  const box = useGlide(useMemo(() => list?.items.map((one) => one.id) ?? [], [list]));
  const top = Math.max(...(list?.items.map((one) => one.score) ?? []), 1e-12);
  const wrong = error instanceof ApiError && wishes.filter.trim() && error.status === 400 && /filter|property|character/i.test(`${error.type} ${error.message}`) ? error : null;
  const learner = digest.value?.live.process?.state;
  const named = who.user ? `user ${who.user}` : "a guest";

  return (
    <div class="try">
      <div class="try-left">
        <Card title="Who asks"><Who who={who} onChange={setWho} /></Card>
        <Card title="What they did" aside={<span class="dim">{history.length ? `${history.length} shown` : ""}</span>}>
          <History events={history} onOpen={setOpen} />
        </Card>
      </div>
      <div class="try-mid">
        <div class={`told ${told ? "" : "idle"}`} aria-live="polite">
          {told ? (
            <>
              <p class="told-text">{told.text}</p>
              <ol>
                <li class={told.list_ms === null ? "" : "done"}><span>new list</span><b data-test="list-ms">{told.list_ms === null ? "…" : ms(told.list_ms)}</b></li>
                <li class={told.weights_ms === null ? "" : "done"}>
                  <span>new weights</span>
                  <b data-test="weights-ms">{told.weights_ms !== null ? ms(told.weights_ms) : told.waits && told.list_ms !== null ? "learning …" : told.waits ? "…" : learner === "learning" ? "not within 8 s" : `learner: ${learner ?? "off"}`}</b>
                </li>
                <li class={told.moved ? "done" : ""}><span>places changed</span><b data-test="moved">{told.list_ms === null ? "…" : told.moved}</b></li>
              </ol>
            </>
          ) : (
            <p>Click, like, add or dismiss something. The list rearranges in place, and the time to the new list and to the new weights stands here.</p>
          )}
        </div>
        <Card title={`The list for ${named}`} aside={list && <span class="dim" title="Which weights made it">{list.model.version} · made in {ms(list.took_ms)}</span>}>
          <div class="narrow">
            <label class="field grow">Filter
              <input class={`mono ${wrong ? "wrong" : ""}`} value={wishes.filter} spellcheck={false} autocomplete="off" placeholder="'Comedy' in categories and year > 1990" aria-invalid={!!wrong} aria-describedby={wrong ? "filter-error" : undefined} onInput={(event) => wish({ filter: event.currentTarget.value })} />
            </label>
            <label class="field">Search for them
              <input type="search" value={wishes.query} placeholder="words" onInput={(event) => wish({ query: event.currentTarget.value })} />
            </label>
          </div>
          {wrong && <FilterError error={wrong} />}
          {!ready ? (
            <Empty title="Who shall it be?" icon="hand"><p>Pick a user on the left, or type an id.</p></Empty>
          ) : error && !wrong ? (
            <Failed error={words(error)} again={() => setWishes({ ...wishes })} />
          ) : !list ? (
            <Waiting lines={8} />
          ) : !list.items.length ? (
            <Empty title={wishes.filter ? "Nothing matches" : "There is nothing to show yet"}>
              {wishes.filter ? <p>No item passes the filter.</p> : <><p>An empty installation: send items and events, or let made people come.</p><div class="row center"><Button tone="main" onClick={() => go("made")}>Play made traffic</Button></div></>}
            </Empty>
          ) : (
            <ol class={`list ${busy ? "busy" : ""}`} ref={box} aria-label="Recommended items" aria-busy={busy} onPointerDown={press}>
              {list.items.map((one, place) => (
                <Row key={one.id} one={one} place={place} was={was.get(one.id) ?? null} top={top} fresh={fresh} onOpen={() => setOpen(one.id)} onAct={(action) => act(one, place, action)} />
              ))}
            </ol>
          )}
        </Card>
      </div>
      <div class="try-right">
        <Card title="What is wished" aside={<Button tone="ghost" onClick={() => setWishes(PLAIN)}>Reset</Button>}>
          <div class="wishes">
            <label class="field">Scenario
              <select value={wishes.scenario} onChange={(event) => wish({ scenario: event.currentTarget.value })}>
                <option value="">none</option>
                {scenarios.map((name) => <option key={name} value={name}>{name}</option>)}
              </select>
            </label>
            <Slide name="Diversity" low={0} high={1} value={wishes.diversity} text="How far likeness to what stands above counts against an item." onChange={(diversity) => wish({ diversity })} />
            <Slide name="Exploration" low={0} high={1} value={wishes.explore} text="Share of places that are drawn from below the list." onChange={(explore) => wish({ explore })} />
            <Slide name="Freshness" low={-1} high={1} value={wishes.freshness} text="How far young items gain, or lose." onChange={(freshness) => wish({ freshness })} />
            <label class="check"><input type="checkbox" checked={wishes.excludeSeen} onChange={(event) => wish({ excludeSeen: event.currentTarget.checked })} /> Leave out what they had</label>
          </div>
        </Card>
        <Card title="Any item"><Find onOpen={setOpen} /><p class="dim">Open one to see what is like it, its trend, and why it is in the list or not.</p></Card>
      </div>
      {open && <ItemPanel id={open} who={who} asks={bodyOf(who, wishes)} onClose={() => setOpen(null)} onOpen={setOpen} onAct={(one, kind) => { setOpen(null); void act(one, null, ACTIONS.find((action) => action.kind === kind)!); }} />}
      <span class="sr">{list ? <Badge>{`${list.items.length} items`}</Badge> : null}</span>
    </div>
  );
}

import { useState } from "preact/hooks";
import { Badge, Button, Failed, Icon, Meter, Modal, Waiting } from "../parts/basics";
import { useLoaded } from "../parts/load";
import { get, query } from "../api";
import { count, probability } from "../format";
import type { Asker } from "./try";

interface Look {
  item: string;
  title: string | null;
  text: string | null;
  categories: string[];
  tags: string[];
  properties: Record<string, unknown>;
  hidden: boolean;
  events: number;
  by_kind: { kind: string; events: number }[];
  by_scenario: { scenario: string | null; events: number }[];
  trend: { half_life_s: number; per_hour: number }[];
  takers: { id: string; ts: number }[];
}
interface Near {
  items: { id: string; title?: string; score: number; shares: Record<string, number> }[];
}
interface Why {
  shown: boolean;
  rank: number;
  candidates: number;
  probability: number;
  needed: number;
  lift: number;
  experts: { share: number; expert?: string }[];
  history: { share: number; item?: string; title?: string }[];
  hindrances: { kind: string; text: string }[];
}

function Trend(props: { look: Look }) {
  const { trend } = props.look;
  if (trend.length < 2) return null;
  const fast = trend[0].per_hour;
  const slow = trend.at(-1)!.per_hour;
  const factor = slow > 0 ? fast / slow : 0;
  const words = fast < 0.01 && slow < 0.01 ? "asleep: hardly anything happens with it" : factor > 1.5 ? `rising, × ${factor.toFixed(1)} against the long run` : factor < 0.67 ? `falling, × ${factor.toFixed(2)} of the long run` : "steady";
  const most = Math.max(...trend.map((one) => one.per_hour), 1e-9);
  return (
    <>
      <h3>Its trend</h3>
      <p>{words}.</p>
      <ul class="bars">
        {trend.map((one) => {
          const name = one.half_life_s >= 86_400 ? `${Math.round(one.half_life_s / 86_400)} d` : one.half_life_s >= 3600 ? `${Math.round(one.half_life_s / 3600)} h` : `${Math.round(one.half_life_s / 60)} min`;
          return <li key={one.half_life_s}><span>half-life {name}</span><Meter label={`Events an hour with a half-life of ${name}`} share={one.per_hour / most} text={`${one.per_hour.toFixed(2)} an hour`} /><b>{one.per_hour >= 10 ? one.per_hour.toFixed(0) : Number(one.per_hour.toPrecision(2))}/h</b></li>;
        })}
      </ul>
    </>
  );
}

function WhyNot(props: { id: string; who: Asker; asks: Record<string, unknown>; titles: Map<string, string> }) {
  const { asks } = props;
  const found = useLoaded((stop) => get<Why>(`/v1/explain${query({
    item: props.id, user: props.who.user, session: props.who.session, scenario: asks.scenario as string, k: asks.k as number, filter: asks.filter as string, exclude_seen: String(asks.exclude_seen),
  })}`, stop), [props.id]);
  if (found.error) return <Failed error={found.error} again={found.again} />;
  const why = found.value;
  if (!why) return <Waiting />;
  return (
    <div class="why" data-test="why">
      <p class="lead">{why.shown ? <><Badge tone="good">in the list</Badge> Ranked {count(why.rank)} of {count(why.candidates)}.</> : <><Badge tone="warn">not in the list</Badge> Ranked {count(why.rank)} of {count(why.candidates)}.</>} Probability {probability(why.probability)}{why.shown ? "" : `; the last place has ${probability(why.needed)}`}.</p>
      {why.hindrances.map((one) => <p key={one.kind} class="hindrance"><Icon name="alert" size={16} />{one.text}</p>)}
      <div class="grid">
        <div>
          <h4>Who brought it</h4>
          <ul class="bars">
            {why.experts.slice(0, 6).map((one) => <li key={one.expert}><span>{one.expert}</span><Meter label={one.expert ?? ""} share={one.share} /><b>{(100 * one.share).toFixed(0)} %</b></li>)}
          </ul>
        </div>
        <div>
          <h4>Because of</h4>
          {why.history.length ? (
            <ul class="bars">
              {why.history.slice(0, 6).map((one) => <li key={one.item}><span>{props.titles.get(one.item ?? "") ?? one.item}</span><Meter label={one.item ?? ""} share={one.share} /><b>{(100 * one.share).toFixed(0)} %</b></li>)}
            </ul>
          ) : <p class="dim">Nothing in particular: no past item lifts it.</p>}
        </div>
      </div>
    </div>
  );
}

export function ItemPanel(props: {
  id: string;
  who: Asker;
  asks: Record<string, unknown>;
  onClose: () => void;
  onOpen: (id: string) => void;
  onAct: (one: { id: string; title: string | null }, kind: string) => void;
}) {
  const look = useLoaded((stop) => get<Look>(`/v1/items/${encodeURIComponent(props.id)}/look`, stop), [props.id]);
  const near = useLoaded((stop) => get<Near>(`/v1/items/${encodeURIComponent(props.id)}/similar?k=8`, stop), [props.id]);
  const past = useLoaded((stop) => get<{ events: { item: string; title: string | null }[] }>(`/v1/history${query({ ...props.who, k: 100 })}`, stop), [props.id]);
  const [all, setAll] = useState(false);
  const one = look.value?.item === props.id ? look.value : null;
  const title = one?.title ?? props.id;
  const titles = new Map((past.value?.events ?? []).map((it) => [it.item, it.title ?? it.item]));
  const own = Object.entries(one?.properties ?? {}).filter(([, value]) => value !== null);
  return (
    <Modal title={title} side onClose={props.onClose} label={`Item ${title}`}>
      {look.error ? <Failed error={look.error} again={look.again} /> : !one ? <Waiting lines={5} /> : (
        <>
          <p class="tags">{one.categories.map((name) => <Badge key={name}>{name}</Badge>)}{one.hidden && <Badge tone="warn">hidden</Badge>} <span class="dim mono">{one.item}</span></p>
          {one.text && <p class="dim">{one.text}</p>}
          <div class="row">
            <Button tone="main" onClick={() => props.onAct(one.item === props.id ? { id: one.item, title: one.title } : { id: props.id, title: null }, "view")}><Icon name="click" />Click</Button>
            <Button onClick={() => props.onAct({ id: one.item, title: one.title }, "like")}><Icon name="like" />Like</Button>
            <Button onClick={() => props.onAct({ id: one.item, title: one.title }, "cart")}><Icon name="cart" />Cart</Button>
            <Button onClick={() => props.onAct({ id: one.item, title: one.title }, "dismiss")}><Icon name="no" />Dismiss</Button>
          </div>
          <h3>Why it is in the list, or why not</h3>
          <WhyNot key={props.id} id={props.id} who={props.who} asks={props.asks} titles={titles} />
          <h3>What is like it</h3>
          {near.error ? <Failed error={near.error} /> : !near.value ? <Waiting /> : near.value.items.length ? (
            <ul class="bars similar">
              {near.value.items.map((it) => (
                <li key={it.id}><button type="button" class="link" onClick={() => props.onOpen(it.id)}>{it.title ?? it.id}</button><Meter label={`Likeness of ${it.title ?? it.id}`} share={it.score} text={Object.entries(it.shares).map(([name, share]) => `${name} ${share.toFixed(2)}`).join(", ")} /><b>{it.score.toFixed(2)}</b></li>
              ))}
            </ul>
          ) : <p class="dim">Nothing is known to be like it yet.</p>}
          <Trend look={one} />
          <h3>Who takes it</h3>
          <p>{count(one.events)} events: {one.by_kind.map((it) => `${count(it.events)} × ${it.kind}`).join(", ") || "none"}{one.by_scenario.some((it) => it.scenario) ? `; in ${one.by_scenario.filter((it) => it.scenario).map((it) => `${it.scenario} ${count(it.events)}`).join(", ")}` : ""}.</p>
          {one.takers.length > 0 && <p class="tags">{(all ? one.takers : one.takers.slice(0, 8)).map((it) => <Badge key={it.id}>{it.id}</Badge>)}{one.takers.length > 8 && !all && <Button tone="ghost" onClick={() => setAll(true)}>all {one.takers.length}</Button>}</p>}
          {own.length > 0 && (
            <>
              <h3>What is known of it</h3>
              <dl class="facts">{own.map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}-`}>{Array.isArray(value) ? value.join(", ") : String(value)}</dd>])}</dl>
            </>
          )}
        </>
      )}
    </Modal>
  );
}

import { useState } from "preact/hooks";
import { Badge, Button, Card, Icon, Waiting } from "../parts/basics";
import { Spark } from "../parts/chart";
import { post } from "../api";
import { ago, count, rate } from "../format";
import { digest, past, tick } from "../stream";
import { confirm, go, say, words } from "../state";
import type { Made } from "../types";

const SOURCES: Record<string, { title: string; text: string }> = {
  shop: { title: "A shop", text: "2,000 people with tastes of their own look, add to the cart and buy; new items come, some suddenly trend." },
  news: { title: "A news site", text: "Most items are born and fade within hours, as news do. Standing still loses here most." },
  flip: { title: "Tastes that flip", text: "At one moment all tastes turn over. Watch the loss jump and the live model find its way back." },
  log: { title: "The log's last day", text: "What people really did last, played once more by made people, to its end. Who learned it before knows it already." },
};

async function press(what: () => Promise<unknown>, done: string) {
  try {
    await what();
    say(done, "good");
  } catch (error) {
    say(words(error), "bad");
  }
}

export async function stopMade(hide: boolean) {
  await press(() => post("/v1/made-traffic/stop", { hide }), hide ? "Made traffic stopped, made items are hidden." : "Made traffic stopped.");
}

/** Over every section while events are played that nobody did. */
export function MadeBanner(props: { made: Made }) {
  const { made } = props;
  return (
    <div class="banner" role="status">
      <Icon name="made" size={18} />
      <p><b>Made traffic is playing.</b> {SOURCES[made.source ?? ""]?.title ?? made.source}, {rate(made.per_s)} events/s: nobody did this, but the models learn from it.</p>
      <Button onClick={() => stopMade(false)}>Stop</Button>
    </div>
  );
}

export function MadeTraffic() {
  tick.value;
  const made = digest.value?.made;
  const [source, setSource] = useState<string | null>(null);
  const [power, setPower] = useState(1.7);
  const [busy, setBusy] = useState(false);
  const [hide, setHide] = useState(true);
  if (!digest.value || !made) return <Card title="Made traffic"><Waiting lines={5} /></Card>;
  const chosen = made.source && made.state === "playing" ? made.source : source ?? (digest.value.events ? "log" : "shop");
  const per_s = Math.round(10 ** power);
  const playing = made.state === "playing";
  async function start() {
    const real = digest.value!.events > 0 && !made!.sent;
    if (real && !playing && !(await confirm({
      title: "Play made traffic into this installation?",
      text: `There are ${count(digest.value!.events)} events here. Made events are kept in the log like all others, marked as made, and the models learn from them. Do this where you try things, not where you sell.`,
      button: "Play",
    }))) return;
    setBusy(true);
    await press(() => post("/v1/made-traffic", { source: chosen, per_s }), playing ? `Now ${per_s} events a second.` : "Made people are coming.");
    setBusy(false);
  }
  return (
    <>
      <Card title="Made traffic" aside={<Badge tone={playing ? "live" : "plain"}>{playing ? "playing" : "stopped"}</Badge>}>
        <p>An installation without visitors can be watched learning: made people come and act, through the same way in as everybody. All of it is marked: ids begin with <code>made-</code>, events carry <code>made</code> in their context.</p>
        <fieldset class="sources" disabled={playing}>
          <legend>What is played</legend>
          <div>
          {made.sources.map((name) => (
            <label key={name} class={chosen === name ? "source on" : "source"}>
              <input type="radio" name="source" value={name} checked={chosen === name} onChange={() => setSource(name)} />
              <b>{SOURCES[name]?.title ?? name}</b>
              <span class="dim">{SOURCES[name]?.text}</span>
            </label>
          ))}
          </div>
        </fieldset>
        <div class="row controls">
          <div class="slide grow">
            <label for="made-rate">Events a second</label>
            <output for="made-rate">{count(per_s)}</output>
            <input id="made-rate" type="range" min={0} max={Math.log10(made.most_per_s)} step={0.05} value={power} onInput={(event) => setPower(Number(event.currentTarget.value))} />
          </div>
          <Button tone="main" busy={busy} onClick={start}><Icon name="made" />{playing ? "Change the rate" : "Play"}</Button>
          {playing && <Button tone="danger" onClick={() => stopMade(hide && chosen !== "log")}>Stop</Button>}
        </div>
        {chosen !== "log" && <label class="check"><input type="checkbox" checked={hide} onChange={(event) => setHide(event.currentTarget.checked)} /> Hide the made items from lists when it stops</label>}
        {made.error && <p class="hindrance" role="alert"><Icon name="alert" size={16} />{made.error}</p>}
      </Card>
      <div class="grid three">
        <Card title="Sent"><p class="big">{count(made.sent)}</p><p class="dim">{made.since_ms ? `since ${ago(made.since_ms)}` : "nothing yet"}</p></Card>
        <Card title="Events a second"><p class="big">{rate(digest.value.events_per_s)}</p><Spark values={past.events} color="c-live" label="Events a second, the last two minutes" /></Card>
        <Card title="What now?"><p>Watch the lines in Learning begin to part: live, and standing still.</p><Button tone="ghost" onClick={() => go("learning")}>To Learning</Button></Card>
      </div>
    </>
  );
}

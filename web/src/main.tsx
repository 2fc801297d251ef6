import "uplot/dist/uPlot.min.css";
import "./style.css";
import { Component, render, type ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Failed, Icon, ICONS, Modal } from "./parts/basics";
import { askForKey, forgetKey, key, keyWanted } from "./api";
import { connection, digest, follow, lostSince, tick } from "./stream";
import { ms, rate, span } from "./format";
import { SECTIONS, SHORT, TITLES, dismiss, notes, question, section, setTheme, theme, words, type Section } from "./state";
import { Now } from "./sections/now";
import { Learning } from "./sections/learning";
import { TryIt } from "./sections/try";
import { Backtests } from "./sections/backtests";
import { Data } from "./sections/data";
import { MadeBanner, MadeTraffic } from "./sections/made";

const VIEWS: Record<Section, () => preact.JSX.Element> = { now: Now, learning: Learning, try: TryIt, backtests: Backtests, data: Data, made: MadeTraffic };
const SIGNS: Record<Section, keyof typeof ICONS> = { now: "pulse", learning: "learn", try: "hand", backtests: "back", data: "data", made: "made" };
const LEADS: Record<Section, string> = {
  now: "What comes in, what goes out, how fresh it is.",
  learning: "Is learning live better than standing still?",
  try: "Click, and watch the list and then the weights move.",
  backtests: "What a past log says about the lists.",
  data: "What is known, and whether it is sound.",
  made: "People who do not exist, to watch it learn.",
};

function Themes() {
  const next = { system: "light", light: "dark", dark: "system" } as const;
  const sign = { system: "system", light: "sun", dark: "moon" } as const;
  return (
    <button type="button" class="round" aria-label={`Colours: ${theme.value}. Press for ${next[theme.value]}.`} title={`Colours: ${theme.value}`} onClick={() => setTheme(next[theme.value])}>
      <Icon name={sign[theme.value]} />
    </button>
  );
}

function Lost() {
  const [, again] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => again((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="banner lost" role="alert">
      <Icon name="alert" size={18} />
      <p><b>The connection is lost.</b> What you see is {span((Date.now() - lostSince.value) / 1000)} old. The page tries again by itself.</p>
    </div>
  );
}

function Pulse() {
  tick.value;
  const one = digest.value;
  const state = connection.value;
  return (
    <div class="pulse" aria-label="At a glance">
      <span class={`dot ${state}`} aria-hidden="true" />
      {one && state !== "lost" ? (
        <>
          <span><b>{rate(one.events_per_s)}</b> events/s</span>
          <span class="wide-only"><b>{rate(one.lists_per_s)}</b> lists/s</span>
          {one.took?.event.p50_ms && <span class="wide-only">to the list <b>{ms(one.took.event.p50_ms)}</b></span>}
          {one.freshness?.p50_ms && <span>to the weights <b>{ms(one.freshness.p50_ms)}</b></span>}
        </>
      ) : state === "locked" ? (
        <button type="button" class="link" onClick={() => void askForKey("What the server tells is for those with a key.")}>Give a key</button>
      ) : <span>{state === "lost" ? "not connected" : "connecting …"}</span>}
    </div>
  );
}

function KeyDialog() {
  const [text, setText] = useState("");
  const wanted = keyWanted.value!;
  return (
    <Modal title="A key is needed" onClose={() => wanted.answer(null)}>
      <form onSubmit={(event) => { event.preventDefault(); wanted.answer(text.trim() || null); }}>
        <p>{wanted.message}</p>
        <label class="field">Key
          <input type="password" autocomplete="off" autofocus value={text} placeholder="ek_…" onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <p class="dim">It stays in this tab and is forgotten with it. Make one: <code>everbrook keys new --scope admin</code></p>
        <div class="row end"><Button onClick={() => wanted.answer(null)}>Cancel</Button><Button tone="main" type="submit" disabled={!text.trim()}><Icon name="key" />Use it</Button></div>
      </form>
    </Modal>
  );
}

function QuestionDialog() {
  const asked = question.value!;
  return (
    <Modal title={asked.title} onClose={() => asked.answer(false)}>
      <p>{asked.text}</p>
      <div class="row end"><Button onClick={() => asked.answer(false)}>Cancel</Button><Button tone={asked.danger ? "danger" : "main"} data-test="yes" onClick={() => asked.answer(true)}>{asked.button}</Button></div>
    </Modal>
  );
}

/** Keeps what breaks in one section from taking the others along. */
class Fence extends Component<{ children: ComponentChildren }, { error: string | null }> {
  state = { error: null as string | null };
  componentDidCatch(error: unknown) {
    console.error(error);
    this.setState({ error: words(error) });
  }
  render() {
    if (this.state.error === null) return this.props.children;
    return <Failed error={`This section cannot be shown: ${this.state.error}`} again={() => this.setState({ error: null })} />;
  }
}

function Page() {
  const at = section.value;
  const View = VIEWS[at];
  const made = digest.value?.made;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>To the content</a>
      <header class="top">
        <a class="brand" href="#/now" aria-label="Everbrook, now"><svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true"><rect width="32" height="32" rx="9" /><path d="M5 12c4-4 7 4 11 0s7 4 11 0M5 20c4-4 7 4 11 0s7 4 11 0" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" /></svg><span>Everbrook</span></a>
        <Pulse />
        <div class="top-end">
          {key.value && <Button tone="ghost" title="Forget the key of this tab" onClick={() => { forgetKey(); location.reload(); }}><Icon name="key" size={18} /><span class="wide-only">Forget key</span></Button>}
          <Themes />
        </div>
      </header>
      <nav class="sections" aria-label="Sections">
        {SECTIONS.map((name) => (
          <a key={name} href={`#/${name}`} aria-current={name === at ? "page" : undefined}>
            <Icon name={SIGNS[name]} /><span class={SHORT[name] ? "long" : ""}>{TITLES[name]}</span>{SHORT[name] && <span class="brief" aria-hidden="true">{SHORT[name]}</span>}{name === "made" && made?.state === "playing" && <span class="live-dot" title="playing" />}
          </a>
        ))}
        <a class="docs" href="/docs"><Icon name="open" /><span>Every route</span></a>
      </nav>
      <main id="main" tabIndex={-1} class={`section-${at}`}>
        {connection.value === "lost" && <Lost />}
        {made?.state === "playing" && <MadeBanner made={made} />}
        <div class="head"><h1>{TITLES[at]}</h1><p class="dim">{LEADS[at]}</p></div>
        <Fence key={at}><View /></Fence>
      </main>
      <div class="notes" aria-live="polite">
        {notes.value.map((one) => <div key={one.id} class={`note ${one.tone}`}><p>{one.text}</p><button type="button" aria-label="Dismiss" onClick={() => dismiss(one.id)}><Icon name="no" size={16} /></button></div>)}
      </div>
      {question.value && <QuestionDialog />}
      {keyWanted.value && <KeyDialog />}
    </>
  );
}

const place = document.getElementById("page")!;
place.replaceChildren(); // what stood there until the script came
render(<Page />, place);
void follow();

// The small parts that every section is made of.
import type { ButtonHTMLAttributes, ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Card(props: {
  title?: ComponentChildren;
  aside?: ComponentChildren;
  class?: string;
  children: ComponentChildren;
  id?: string;
}) {
  return (
    <section class={`card ${props.class ?? ""}`} id={props.id}>
      {props.title !== undefined && (
        <header class="card-head">
          <h2>{props.title}</h2>
          {props.aside}
        </header>
      )}
      {props.children}
    </section>
  );
}

export function Badge(props: { tone?: "good" | "warn" | "bad" | "plain" | "live"; children: ComponentChildren; title?: string }) {
  return <span class={`badge ${props.tone ?? "plain"}`} title={props.title}>{props.children}</span>;
}

export function Button(
  props: ButtonHTMLAttributes<HTMLButtonElement> & { tone?: "main" | "plain" | "danger" | "ghost"; busy?: boolean },
) {
  const { tone, busy, children, class: own, disabled, ...rest } = props;
  return (
    <button type="button" {...rest} class={`button ${tone ?? "plain"} ${own ?? ""}`} disabled={disabled || busy} aria-busy={busy}>
      {busy && <span class="spin" aria-hidden="true" />}
      {children}
    </button>
  );
}

export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

export function Empty(props: { title: string; children?: ComponentChildren; icon?: keyof typeof ICONS }) {
  return (
    <div class="empty">
      <Icon name={props.icon ?? "wave"} size={28} />
      <h3>{props.title}</h3>
      {props.children}
    </div>
  );
}

export function Failed(props: { error: string; again?: () => void }) {
  return (
    <div class="failed" role="alert">
      <Icon name="alert" />
      <p>{props.error}</p>
      {props.again && <Button onClick={props.again}>Try again</Button>}
    </div>
  );
}

export function Waiting(props: { lines?: number; label?: string }) {
  return (
    <div class="waiting" role="status" aria-label={props.label ?? "Loading"}>
      {Array.from({ length: props.lines ?? 3 }, (_, at) => <span key={at} class="bone" />)}
    </div>
  );
}

export function Meter(props: { label: string; share: number; tone?: string; text?: string }) {
  const share = Math.max(0, Math.min(1, props.share));
  return (
    <span class={`meter ${props.tone ?? ""}`} role="meter" aria-label={props.label} aria-valuenow={Math.round(100 * share)} aria-valuemin={0} aria-valuemax={100} aria-valuetext={props.text}>
      <span style={{ width: `${100 * share}%` }} />
    </span>
  );
}

export const ICONS = {
  wave: "M3 9c3-3 6 3 9 0s6 3 9 0M3 15c3-3 6 3 9 0s6 3 9 0",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  learn: "M4 19V5m0 14h16M8 15l4-5 3 3 5-7",
  hand: "M9 11V5a2 2 0 1 1 4 0v5l5 1.5a2 2 0 0 1 1.5 2.3L18.5 20H11l-5-6a1.6 1.6 0 0 1 2.4-2z",
  back: "M4 12a8 8 0 1 0 3-6.2M4 4v5h5",
  data: "M5 6c0-1.7 3-3 7-3s7 1.3 7 3-3 3-7 3-7-1.3-7-3zm0 0v12c0 1.7 3 3 7 3s7-1.3 7-3V6M5 12c0 1.7 3 3 7 3s7-1.3 7-3",
  made: "M5 4l14 8-14 8z",
  click: "M5 12h13m-5-6 6 6-6 6",
  like: "M12 20s-7-4.4-7-9.5A3.8 3.8 0 0 1 12 8a3.8 3.8 0 0 1 7 2.5C19 15.600 12 20 12 20z",
  cart: "M3 5h3l2.500 10h9l2-7H7M9 19.500h.01M17 19.500h.01",
  no: "M6 6l12 12M18 6L6 18",
  open: "M12 8v.01M11 12h1v5h1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  alert: "M12 4l9 16H3zM12 10v4m0 3v.01",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5 12 4.500 4.500",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3m0 14v3M2 12h3m14 0h3M5 5l2 2m10 10 2 2M5 19l2-2M17 7l2-2",
  moon: "M20 14A8 8 0 1 1 10 4a6.500 6.500 0 0 0 10 10z",
  system: "M4 5h16v11H4zM9 20h6",
  key: "M14 10a4 4 0 1 0-3.500 3.970L12 15.500h2v2h2v2h3v-3l-4.800-4.800A4 4 0 0 0 14 10zM9 9h.01",
  hide: "M3 12s3-6 9-6 9 6 9 6-3 6-9 6-9-6-9-6zm9-2.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM4 4l16 16",
  show: "M3 12s3-6 9-6 9 6 9 6-3 6-9 6-9-6-9-6zm9-2.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5z",
} as const;

export function Icon(props: { name: keyof typeof ICONS; size?: number }) {
  const size = props.size ?? 20;
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      <path d={ICONS[props.name]} />
    </svg>
  );
}

/** A dialog that the browser keeps the focus in; Escape closes it. */
export function Modal(props: { title: string; onClose: () => void; children: ComponentChildren; side?: boolean; label?: string }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    box.current?.showModal();
    return () => before?.focus?.();
  }, []);
  return (
    <dialog
      ref={box}
      class={props.side ? "side" : "modal"}
      aria-label={props.label ?? props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => event.target === box.current && props.onClose()}
    >
      <div class="modal-body">
        <header class="modal-head">
          <h2>{props.title}</h2>
          <Button tone="ghost" aria-label="Close" onClick={props.onClose}><Icon name="no" /></Button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

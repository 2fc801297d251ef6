// Loading something and again, with its waiting and its failure as values.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { words } from "../state";

export interface Loaded<T> {
  value: T | null;
  error: string | null;
  busy: boolean;
  again: () => void;
}

/** Calls whenever `wants` changes, and every so often where `every_ms` is given and the page is looked at. */
export function useLoaded<T>(load: (stop: AbortSignal) => Promise<T>, wants: readonly unknown[], every_ms = 0): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(true);
  const running = useRef<AbortController | null>(null);
  const again = useCallback(() => {
    running.current?.abort();
    const own = (running.current = new AbortController());
    setBusy(true);
    load(own.signal).then(
      (found) => {
        if (own.signal.aborted) return;
        setValue(() => found);
        setError(null);
        setBusy(false);
      },
      (failure) => {
        if (own.signal.aborted) return;
        setError(words(failure));
        setBusy(false);
      },
    );
  }, wants);
  useEffect(() => {
    again();
    const timer = every_ms ? setInterval(() => document.visibilityState === "visible" && again(), every_ms) : 0;
    return () => {
      clearInterval(timer);
      running.current?.abort();
    };
  }, [again, every_ms]);
  return { value, error, busy, again };
}

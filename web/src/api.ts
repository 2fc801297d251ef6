// Speaking with the server: one place for keys, errors and JSON. The key lives in this tab alone.
import { signal } from "@preact/signals";

const STORED = "everbrook-key";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: string,
    message: string,
    readonly hint: string | null,
  ) {
    super(message);
  }
}

/** What a key is asked for; null while none is asked for. */
export const keyWanted = signal<{ message: string; answer: (key: string | null) => void } | null>(null);
export const key = signal<string | null>(readKey());

function readKey(): string | null {
  try {
    return sessionStorage.getItem(STORED);
  } catch {
    return null;
  }
}

export function forgetKey(): void {
  key.value = null;
  try {
    sessionStorage.removeItem(STORED);
  } catch {
    /* a browser without storage has nothing to forget */
  }
}

function keep(found: string): void {
  key.value = found;
  try {
    sessionStorage.setItem(STORED, found);
  } catch {
    /* it lasts as long as the page then */
  }
}

export function headers(): Record<string, string> {
  return key.value ? { Authorization: `Bearer ${key.value}` } : {};
}

let asking: Promise<string | null> | null = null;

/** Asks for a key, once for all who want one. */
export function askForKey(message: string): Promise<string | null> {
  asking ??= new Promise<string | null>((resolve) => {
    keyWanted.value = {
      message,
      answer: (found) => {
        keyWanted.value = null;
        asking = null;
        if (found) keep(found);
        resolve(found);
      },
    };
  });
  return asking;
}

async function once(method: string, path: string, body: unknown, stop?: AbortSignal): Promise<Response> {
  try {
    return await fetch(path, {
      method,
      headers: { ...headers(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: stop,
    });
  } catch (error) {
    if (stop?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server does not answer. It may have stopped, or the network is down.", null);
  }
}

async function call<T>(method: string, path: string, body?: unknown, stop?: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    const used = key.value;
    const answer = await once(method, path, body, stop);
    if (answer.ok) return (await answer.json()) as T;
    const told = await answer.json().then(
      (it) => it.error as { type: string; message: string; hint: string | null },
      () => null,
    );
    const error = new ApiError(
      answer.status,
      told?.type ?? "error",
      told?.message ?? `The server answered ${answer.status}.`,
      told?.hint ?? null,
    );
    if ((answer.status === 401 || answer.status === 403) && told?.type !== "origin_refused" && tries < 5) {
      if (key.value !== used) continue; // another request was given one meanwhile
      if (await askForKey(error.message)) continue;
    }
    throw error;
  }
}

export const get = <T>(path: string, stop?: AbortSignal) => call<T>("GET", path, undefined, stop);
export const post = <T>(path: string, body: unknown = {}, stop?: AbortSignal) => call<T>("POST", path, body, stop);
export const patch = <T>(path: string, body: unknown) => call<T>("PATCH", path, body);

export function query(fields: Record<string, string | number | null | undefined>): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") parts.set(name, String(value));
  }
  const text = parts.toString();
  return text ? `?${text}` : "";
}

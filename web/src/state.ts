// Where the page is, how it looks, and what it has to say at the moment.
import { signal } from "@preact/signals";
import { ApiError } from "./api";

export const SECTIONS = ["now", "learning", "try", "backtests", "data", "made"] as const;
export type Section = (typeof SECTIONS)[number];
export const TITLES: Record<Section, string> = {
  now: "Now", learning: "Learning", try: "Try it", backtests: "Backtests", data: "Data", made: "Made traffic",
};

export const SHORT: Partial<Record<Section, string>> = { backtests: "Tests", made: "Made" };

function sectionOf(hash: string): Section {
  const name = hash.replace(/^#\/?/, "").split("?")[0];
  return SECTIONS.find((one) => one === name) ?? "now";
}

export const section = signal<Section>(sectionOf(location.hash));
addEventListener("hashchange", () => {
  section.value = sectionOf(location.hash);
  document.title = `${TITLES[section.value]} · Everbrook`;
  scrollTo(0, 0);
});
document.title = `${TITLES[section.value]} · Everbrook`;

export const go = (to: Section) => {
  location.hash = `/${to}`;
};

export type Theme = "system" | "light" | "dark";
const STORED = "everbrook-theme";
function readTheme(): Theme {
  try {
    const found = localStorage.getItem(STORED);
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}
export const theme = signal<Theme>(readTheme());
const wishes = matchMedia("(prefers-color-scheme: dark)");
export const dark = signal(false);
function paint(): void {
  dark.value = theme.value === "dark" || (theme.value === "system" && wishes.matches);
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
}
wishes.addEventListener("change", paint);
paint();
export function setTheme(to: Theme): void {
  theme.value = to;
  try {
    if (to === "system") localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, to);
  } catch {
    /* it lasts as long as the page then */
  }
  paint();
}

export interface Note {
  id: number;
  tone: "good" | "bad" | "plain";
  text: string;
}
export const notes = signal<Note[]>([]);
let serial = 0;
export function say(text: string, tone: Note["tone"] = "plain"): void {
  const id = ++serial;
  notes.value = [...notes.value.slice(-2), { id, tone, text }];
  setTimeout(() => dismiss(id), tone === "bad" ? 12_000 : 6_000);
}
export const dismiss = (id: number) => {
  notes.value = notes.value.filter((one) => one.id !== id);
};

export const words = (error: unknown) =>
  error instanceof ApiError ? error.message : error instanceof Error ? error.message : String(error);

export interface Question {
  title: string;
  text: string;
  button: string;
  danger?: boolean;
  answer: (yes: boolean) => void;
}
export const question = signal<Question | null>(null);
/** Asks whether something shall be done. */
export const confirm = (asked: Omit<Question, "answer">) =>
  new Promise<boolean>((resolve) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        resolve(yes);
      },
    };
  });

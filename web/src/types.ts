// What the server tells, as far as the page reads it.
export interface Reading {
  claim: string;
  against: string;
  scenario: number;
  nats: number | null; // null: not a number yet
  needed_nats: number | null;
  mean_nats: number | null;
  sd_nats: number | null;
  events: number;
}

export interface Percentiles {
  p50_ms: number | null;
  p99_ms: number | null;
  measured: number;
}

export interface Gate {
  stage: string;
  since_ms: number;
  paused: boolean;
  resting_until_ms: number;
  events: number;
  counts: Record<string, number>;
  readings: Reading[];
}

export interface Made {
  state: "playing" | "stopped";
  source: string | null;
  per_s: number;
  sent: number;
  since_ms: number | null;
  error: string | null;
  sources: string[];
  most_per_s: number;
}

export interface Digest {
  ready: boolean;
  offset: number;
  end: number;
  lag: number;
  events: number;
  items: number;
  actors: number;
  lists: number;
  up_s: number;
  now_ms: number;
  version: string;
  stage: string | null;
  learns: "process" | "inside" | "off";
  behind: number | null;
  freshness: Percentiles | null;
  drift: number | null;
  paused: boolean | null;
  log_loss: number;
  weights: Record<string, number>;
  refit: string;
  refitting: { state: string; progress?: Record<string, number>; last?: Record<string, unknown> };
  errors: number;
  last_errors: string[];
  kinds: string[];
  scenarios: string[];
  memory: { server_bytes: number; learner_bytes: number };
  events_per_s: number;
  lists_per_s: number;
  took: { list: Percentiles; event: Percentiles } | null;
  made: Made | null;
  published: { name: string; offset: number; age_ms: number };
  live: {
    mode: string;
    stage?: string | null;
    note?: string;
    published?: { version: string; offset: number; age_ms: number };
    gate?: Gate;
    drift?: { factor: number; rises: number; falls: number; last: { ts_ms: number; before_nats: number; after_nats: number } | null };
    process: { state: string; pid: number | null; behind: number | null; starts: number; hangs: number } | null;
  };
}

export interface Reason {
  kind: string;
  expert: string;
  share: number;
  text: string;
  item?: string;
}

export interface Listed {
  id: string;
  score: number;
  propensity?: number;
  title?: string;
  reasons?: Reason[];
}

export interface List {
  request: string;
  items: Listed[];
  model: { version: string; offset: number; age_ms: number };
  took_ms: number;
}

export interface Done {
  item: string;
  title: string | null;
  ts: number;
  kind: string;
}

export interface Decision {
  action: string;
  version: string;
  offset: number;
  ts_ms: number;
  to?: string;
  because?: string;
  evidence_nats?: number;
}

export interface SystemBins {
  hits: number[];
  reciprocal: number[];
  log_loss: number[];
  awake: number[];
}

export interface Learning {
  step_ms: number;
  ts_ms: number[];
  events: number[];
  systems: Record<string, SystemBins>;
  columns: Record<string, string>;
  weights: { layers: Record<string, number[]>; experts: Record<string, number[]> };
  marks: Decision[];
  now_ms: number;
}

export interface Item {
  id: string;
  title: string | null;
  hidden: boolean;
  categories: string[];
  made: boolean;
  events: number;
}

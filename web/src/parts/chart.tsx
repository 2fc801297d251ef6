// Charts: uPlot, in the page's colours, with marks; and small lines beside numbers.
import { useEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import uPlot from "uplot";
import { dark } from "../state";

export interface Series {
  name: string;
  color: string; // name of a colour of the stylesheet
  values: (number | null)[];
  width?: number;
  dash?: number[];
  fill?: boolean;
}

export interface Mark {
  at: number; // the axis' unit
  text: string;
  tone: "good" | "bad" | "plain";
}

const paint = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function marksOf(marks: () => Mark[]): uPlot.Plugin {
  return {
    hooks: {
      draw: (chart) => {
        const { ctx, bbox } = chart;
        ctx.save();
        ctx.textAlign = "left";
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        let free = -1e9;
        for (const mark of marks()) {
          const x = chart.valToPos(mark.at, "x", true);
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          ctx.strokeStyle = ctx.fillStyle = paint(mark.tone === "bad" ? "bad" : mark.tone === "good" ? "good" : "faint");
          ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const width = ctx.measureText(mark.text).width;
          if (x > free && x + width < bbox.left + bbox.width) {
            ctx.fillText(mark.text, x + 4 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
            free = x + width + 12 * devicePixelRatio;
          }
        }
        ctx.restore();
      },
    },
  };
}

/** A moment as the axis writes it: as fine as its steps are. */
function clock(at_s: number, step_s: number): string {
  const at = new Date(at_s * 1000);
  if (step_s >= 86_400) return at.toLocaleDateString("en-GB", step_s >= 300 * 86_400 ? { year: "numeric" } : step_s >= 28 * 86_400 ? { month: "short", year: "2-digit" } : { day: "numeric", month: "short" });
  return at.toLocaleTimeString("en-GB", step_s >= 60 ? { hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function Chart(props: {
  label: string;
  x: number[];
  series: Series[];
  marks?: Mark[];
  height?: number;
  time?: boolean;
  ticks?: string[]; // names of the places 0, 1, … where the axis is no time
  digits?: number;
  range?: (low: number, high: number) => [number, number];
}) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = props.series.map((one) => `${one.name}${one.color}`).join() + (props.ticks?.join() ?? "");

  useEffect(() => {
    const height = props.height ?? 240;
    const make = () => {
      chart.current?.destroy();
      const box = place.current;
      if (!box) return;
      const text = paint("dim");
      const grid = { stroke: paint("line"), width: 1 };
      const { ticks, digits = 3 } = latest.current;
      const options: uPlot.Options = {
        width: Math.max(200, box.clientWidth),
        height,
        padding: [10, 26, 0, 0],
        legend: { show: false },
        cursor: { points: { size: 7 }, drag: { x: false, y: false } },
        scales: {
          x: { time: latest.current.time ?? true },
          y: {
            range: (_, low, high) => {
              if (low === null || high === null) return [0, 1];
              const own = latest.current.range;
              if (own) return own(low, high);
              const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.02, 1e-6);
              return [low - room < 0 && low >= 0 ? 0 : low - room, high + room];
            },
          },
        },
        axes: [
          {
            stroke: text, grid: { show: false }, ticks: { ...grid, size: 4 }, font: "12px system-ui, sans-serif", size: 30,
            ...(latest.current.time ?? true ? { values: (_: uPlot, all: number[], __: number, ___: number, step: number) => all.map((one) => clock(one, step)), space: 70 } : {}),
            ...(ticks ? { splits: () => ticks.map((_, at) => at), values: () => ticks } : {}),
          },
          {
            stroke: text, grid, ticks: { show: false }, font: "12px system-ui, sans-serif", size: 52,
            values: (_, all) => all.map((one) => (one === null ? "" : one.toFixed(Math.abs(one) >= 100 ? 0 : digits))),
          },
        ],
        series: [
          {},
          ...latest.current.series.map((one) => ({
            label: one.name, stroke: () => paint(one.color), width: one.width ?? 2, dash: one.dash, spanGaps: true,
            points: { show: (latest.current.x.length < 8) as boolean, size: 6 },
            fill: one.fill ? () => `${paint(one.color)}26` : undefined,
          })),
        ],
        plugins: [marksOf(() => latest.current.marks ?? [])],
      };
      chart.current = new uPlot(options, data(), box);
    };
    const data = () => [latest.current.x, ...latest.current.series.map((one) => one.values)] as uPlot.AlignedData;
    const stop = effect(() => {
      dark.value;
      requestAnimationFrame(make);
    });
    const watch = new ResizeObserver(([entry]) => chart.current?.setSize({ width: Math.max(200, entry.contentRect.width), height }));
    watch.observe(place.current!);
    return () => {
      stop();
      watch.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [shape, props.height]);

  useEffect(() => {
    chart.current?.setData([props.x, ...props.series.map((one) => one.values)] as uPlot.AlignedData);
  });

  return <div class="chart" ref={place} role="img" aria-label={props.label} />;
}

/** A line of the last values, for beside a number. */
export function Spark(props: { values: (number | null)[]; color?: string; label: string }) {
  const known = props.values.map((one) => one ?? Number.NaN);
  const finite = known.filter((one) => !Number.isNaN(one));
  const high = Math.max(...finite, 1e-9);
  const low = Math.min(...finite, high);
  const room = high - low || 1;
  const width = 120;
  let path = "";
  known.forEach((one, at) => {
    if (Number.isNaN(one)) return;
    const x = (width * at) / Math.max(known.length - 1, 1);
    const y = 30 - (26 * (one - low)) / room;
    path += `${path && !Number.isNaN(known[at - 1]) ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return (
    <svg class={`spark ${props.color ?? ""}`} viewBox={`0 0 ${width} 32`} preserveAspectRatio="none" role="img" aria-label={props.label}>
      {path && <path d={path} fill="none" stroke="currentColor" stroke-width="1.6" vector-effect="non-scaling-stroke" />}
    </svg>
  );
}

export function Legend(props: { series: { name: string; color: string; text?: string; note?: string }[] }) {
  return (
    <ul class="legend">
      {props.series.map((one) => (
        <li key={one.name}>
          <span class="swatch" style={{ background: `var(--${one.color})` }} />
          <span>{one.name}</span>
          {one.text && <b>{one.text}</b>}
          {one.note && <small>{one.note}</small>}
        </li>
      ))}
    </ul>
  );
}

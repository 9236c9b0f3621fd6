/** The chart itself: uPlot on a canvas, which follows the data, the width and the colour scheme. */

import { signal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { formatTick, formatValue } from "./format.ts";
import { range, series, type Choice } from "./past.ts";
import type { Series } from "./series.ts";
import { now } from "./store.ts";

export const LINES_MAX = 8;
/** A silence that is longer is no line: so long does a collector have before it counts as silent. */
const GAP_S = 60;
const HEIGHT = 280;
/** Longer units would take the room of the chart. */
const UNIT_MAX = 8;
const FAINT = "1a";
const BYTE_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power);
const SECOND_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/** The bucket under the pointer. */
export const cursor = signal<number | null>(null);

export function Chart({ choice, label }: { choice: Choice; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const drawn = useRef<{ plot: uPlot; structure: string } | undefined>(undefined);

  function clear(): void {
    drawn.current?.plot.destroy();
    drawn.current = undefined;
    cursor.value = null;
  }

  function draw(current: Series | undefined): void {
    const structure = JSON.stringify([choice.unit, range.peek().seconds, current?.lines.map((line) => line.key)]);
    if (drawn.current?.structure !== structure) clear();
    if (!current || !box.current) return;
    if (drawn.current) drawn.current.plot.setData(columns(current));
    else drawn.current = { plot: new uPlot(options(box.current, current, choice.unit), columns(current), box.current), structure };
  }

  useSignalEffect(() => draw(series.value));
  useEffect(() => watch(box.current, () => drawn.current?.plot, () => { clear(); draw(series.peek()); }), []);
  useEffect(() => clear, []);
  return <div class="chart" role="img" aria-label={`Line chart: ${label}. The table below has the same values.`} ref={box} />;
}

/** Follow the width of the box and the colour scheme. */
function watch(box: Element | null, plot: () => uPlot | undefined, redraw: () => void): () => void {
  const sizes = new ResizeObserver(() => {
    if (box && box.clientWidth > 0) plot()?.setSize({ width: box.clientWidth, height: HEIGHT });
  });
  if (box) sizes.observe(box);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", redraw);
  return () => {
    sizes.disconnect();
    scheme.removeEventListener("change", redraw);
  };
}

function columns({ times, lines }: Series): uPlot.AlignedData {
  return [[...times], ...lines.slice(0, LINES_MAX).map((line) => [...line.averages])];
}

function options(box: Element, { step_s, lines }: Series, unit: string): uPlot.Options {
  const style = getComputedStyle(box);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const { seconds } = range.peek();
  const axis: uPlot.Axis = {
    stroke: color("--muted"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: color("--rule"), width: 1 },
    ticks: { show: false },
  };
  const steps = unit === "bytes" ? BYTE_STEPS : unit === "seconds" ? SECOND_STEPS : undefined;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: {
      x: { range: () => [now.peek() - seconds, now.peek()] },
      ...(unit === "percent" && { y: { range: percentRange } }),
    },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, ticks) => ticks.map((tick) => formatTick(tick, seconds)) },
      {
        ...axis,
        size: (_, texts) => 14 + 7 * Math.max(...(texts ?? [""]).map((text) => text.length), 3),
        values: (_, ticks) => ticks.map((tick) => formatValue(tick, unit.length > UNIT_MAX ? "" : unit)),
        ...(steps && { incrs: steps }),
      },
    ],
    series: [
      {},
      ...lines.slice(0, LINES_MAX).map((_, number) => ({
        stroke: color(`--line-${number + 1}`),
        ...(lines.length === 1 && { fill: color("--line-1") + FAINT }),
        width: 1.5,
        gaps: longGaps(Math.max(GAP_S, 2 * step_s)),
      })),
    ],
    hooks: { setCursor: [({ cursor: { idx } }) => void (cursor.value = idx ?? null)] },
  };
}

/** Percent begin at nought, and need no room above a hundred. */
function percentRange(_: uPlot, __: number, most: number): uPlot.Range.MinMax {
  const top = Math.max((most || 1) * 1.1, 1);
  return [0, most <= 100 ? Math.min(top, 100) : top];
}

/** Buckets narrower than the pace of the samples are empty in between, which is no interruption. */
function longGaps(seconds: number): uPlot.Series.GapsRefiner {
  return ({ bbox, scales }, _, __, ___, gaps) => {
    const { min = 0, max = 1 } = scales["x"] ?? {};
    const second_px = bbox.width / ((max ?? 1) - (min ?? 0));
    return gaps.filter(([from, to]) => to - from > seconds * second_px);
  };
}

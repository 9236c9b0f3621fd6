/** The chart: uPlot on a canvas that follows the data, the width, and the colour scheme. */

import { computed, signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { areaBase, percentRange } from "./axis.ts";
import { formatTick, formatValue } from "./format.ts";
import { SILENT_S } from "./limits.ts";
import { chosen, LINES_MAX, range, series } from "./past.ts";
import type { Series } from "./series.ts";
import { now } from "./store.ts";

const HEIGHT = 280;
/** Longer units are not shown on the axis: they would take space from the chart. */
const UNIT_MAX = 8;
const FAINT = "1a";
const BYTE_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power);
const SECOND_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/** The index of the bucket under the pointer. */
export const cursor = signal<number | null>(null);

const unit = computed(() => chosen.value?.unit ?? "");

export function Chart({ label }: { label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const drawn = useRef<{ plot: uPlot; structure: string } | undefined>(undefined);
  const schemes = useSignal(0);

  function clear(): void {
    drawn.current?.plot.destroy();
    drawn.current = undefined;
    cursor.value = null;
  }

  // Read everything from signals: values captured by a render may be outdated when this runs.
  useSignalEffect(() => {
    const current = series.value;
    const lines = current?.lines.map((line) => line.key);
    const structure = JSON.stringify([unit.value, range.peek().seconds, lines, schemes.value]);
    if (drawn.current?.structure !== structure) clear();
    if (!current || !box.current) return;
    if (drawn.current) drawn.current.plot.setData(columns(current));
    else drawn.current = { plot: new uPlot(options(box.current, current), columns(current), box.current), structure };
  });
  useEffect(() => watch(box.current, () => drawn.current?.plot, () => (schemes.value += 1)), []);
  useEffect(() => clear, []);
  return <div class="chart" role="img" aria-label={`Line chart: ${label}. The table below has the same values.`} ref={box} />;
}

/** Keep the chart as wide as its box, and redraw it when the colour scheme changes. */
function watch(box: Element | null, plot: () => uPlot | undefined, onScheme: () => void): () => void {
  const sizes = new ResizeObserver(() => {
    if (box && box.clientWidth > 0) plot()?.setSize({ width: box.clientWidth, height: HEIGHT });
  });
  if (box) sizes.observe(box);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", onScheme);
  return () => {
    sizes.disconnect();
    scheme.removeEventListener("change", onScheme);
  };
}

function columns({ times, lines }: Series): uPlot.AlignedData {
  return [[...times], ...lines.slice(0, LINES_MAX).map((line) => [...line.averages])];
}

function options(box: Element, { step_s, lines }: Series): uPlot.Options {
  const name = unit.peek();
  const style = getComputedStyle(box);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const { seconds } = range.peek();
  const axis: uPlot.Axis = {
    stroke: color("--muted"),
    font: `12px ${style.fontFamily}`,
    grid: { stroke: color("--rule"), width: 1 },
    ticks: { show: false },
  };
  const steps = name === "bytes" ? BYTE_STEPS : name === "seconds" ? SECOND_STEPS : undefined;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: {
      x: { range: () => [now.peek() - seconds, now.peek()] },
      ...(name === "percent" && { y: { range: (_, least, most) => percentRange(least, most) } }),
    },
    axes: [
      { ...axis, space: 70, size: 30, values: (_, ticks) => ticks.map((tick) => formatTick(tick, seconds)) },
      {
        ...axis,
        size: (_, texts) => 14 + 7 * Math.max(...(texts ?? [""]).map((text) => text.length), 3),
        values: (_, ticks) => ticks.map((tick) => formatValue(tick, name.length > UNIT_MAX ? "" : name)),
        ...(steps && { incrs: steps }),
      },
    ],
    series: [
      {},
      ...lines.slice(0, LINES_MAX).map((_, number) => ({
        stroke: color(`--line-${number + 1}`),
        ...(lines.length === 1 && { fill: color("--line-1") + FAINT, fillTo: areaEnd }),
        width: 1.5,
        points: { show: false, size: 6, fill: color(`--line-${number + 1}`), filter: loneValue },
        gaps: longGaps(Math.max(SILENT_S, 2 * step_s)),
      })),
    ],
    hooks: { setCursor: [({ cursor: { idx } }) => void (cursor.value = idx ?? null)] },
  };
}

function areaEnd({ scales }: uPlot): number {
  const { min, max } = scales["y"] ?? {};
  return areaBase(min ?? 0, max ?? 0);
}

/** A line with a single value is drawn as a point. */
function loneValue({ data }: uPlot, line: number): number[] | null {
  const values = data[line] ?? [];
  const first = values.findIndex((value) => value != null);
  return first >= 0 && first === values.findLastIndex((value) => value != null) ? [first] : null;
}

/** Ignore short gaps: buckets narrower than the interval of samples are empty in between. */
function longGaps(seconds: number): uPlot.Series.GapsRefiner {
  return ({ bbox, scales }, _, __, ___, gaps) => {
    const { min = 0, max = 1 } = scales["x"] ?? {};
    const second_px = bbox.width / ((max ?? 1) - (min ?? 0));
    return gaps.filter(([from, to]) => to - from > seconds * second_px);
  };
}

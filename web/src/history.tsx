/** One chart of the past that goes on live, its controls, and the same as a table. */

import { computed, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Chart, cursor, LINES_MAX } from "./chart.tsx";
import { formatTime, formatValue, labelsText, titleOf } from "./format.ts";
import { chosen, choices, follow, keyOfChoice, pick, problem, range, RANGES, series, type Choice } from "./past.ts";
import type { Line, Series } from "./series.ts";

const isTableOpen = signal(false);

const groups = computed(() => {
  const found = new Map<string, Choice[]>();
  for (const choice of choices.value) {
    found.set(choice.component, [...(found.get(choice.component) ?? []), choice]);
  }
  return [...found];
});

export function Past() {
  useEffect(follow, []);
  const choice = chosen.value;
  if (!choice) return null;
  return (
    <section aria-labelledby="past">
      <div class="section-head">
        <h2 id="past">History</h2>
        <Controls choice={choice} />
      </div>
      <div class="panel past">
        <p class="problem" role="alert">{problem}</p>
        <Chart choice={choice} label={describe(choice)} />
        {series.value && <Legend series={series.value} choice={choice} />}
        <details onToggle={(event) => (isTableOpen.value = event.currentTarget.open)}>
          <summary>Show as a table</summary>
          {isTableOpen.value && series.value && <Table series={series.value} choice={choice} />}
        </details>
      </div>
    </section>
  );
}

function Controls({ choice }: { choice: Choice }) {
  return (
    <div class="controls">
      <label>
        <span class="unseen">Metric</span>
        <select value={keyOfChoice(choice)} onChange={(event) => pick(event.currentTarget.value)}>
          {groups.value.map(([component, metrics]) => (
            <optgroup key={component} label={component}>
              {metrics.map((one) => (
                <option key={one.metric} value={keyOfChoice(one)}>{component}: {nameOf(one)}</option>
              ))}
            </optgroup>
          ))}
        </select>
      </label>
      <fieldset class="ranges">
        <legend class="unseen">Range</legend>
        {RANGES.map((one) => (
          <label key={one.name}>
            <input type="radio" name="range" checked={one === range.value} onChange={() => (range.value = one)} />
            <span>{one.name}</span>
          </label>
        ))}
      </fieldset>
    </div>
  );
}

function Legend({ series, choice }: { series: Series; choice: Choice }) {
  const index = cursor.value ?? series.times.length - 1;
  const time = series.times[index];
  return (
    <div class="legend">
      <p>{cursor.value === null || time === undefined ? "Newest" : formatTime(time)}</p>
      <ul>
        {series.lines.slice(0, LINES_MAX).map((line, number) => (
          <li key={line.key} data-line={number + 1}>
            {lineName(line, choice)} <strong>{shown(lineValue(line, index), choice)}</strong>
          </li>
        ))}
      </ul>
      {series.lines.length > LINES_MAX && <p>{LINES_MAX} of {series.lines.length} series are drawn; the table has all.</p>}
    </div>
  );
}

function Table({ series, choice }: { series: Series; choice: Choice }) {
  const rows = series.times.map((_, index) => index).reverse();
  return (
    <div class="table" role="region" aria-label="Table of the chart" tabIndex={0}>
      <table>
        <caption class="unseen">{describe(choice)}, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {series.lines.map((line) => <th key={line.key} scope="col">{lineName(line, choice)}</th>)}
          </tr>
        </thead>
        <tbody>
          {rows.map((index) => (
            <tr key={series.times[index]}>
              <th scope="row">{formatTime(series.times[index] ?? 0)}</th>
              {series.lines.map((line) => <td key={line.key}>{shown(line.averages[index], choice)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The newest of a line is its last value, whichever bucket that is in. */
function lineValue(line: Line, index: number): number | null | undefined {
  return cursor.value === null ? line.averages.findLast((value) => value !== null) : line.averages[index];
}

function shown(value: number | null | undefined, { unit }: Choice): string {
  return value === null || value === undefined ? "–" : formatValue(value, unit);
}

function lineName(line: Line, choice: Choice): string {
  return labelsText(line.labels) || nameOf(choice);
}

function nameOf({ metric, component, category, unit }: Choice): string {
  return titleOf(metric, component, category, unit);
}

function describe(choice: Choice): string {
  return `${nameOf(choice)} of ${choice.component}, ${range.value.long}`;
}

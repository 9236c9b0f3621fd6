/** The history section: a chart that continues live, its controls, and its values as a table. */

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Chart, cursor } from "./chart.tsx";
import { formatCount, formatTime, formatValue, labelsText, titleOf } from "./format.ts";
import {
  CHOICES_MAX, choices, chosen, drawn, follow, LINES_MAX, matching, pick, problem, range, RANGES, search, series, type Choice,
} from "./past.ts";
import { Search } from "./search.tsx";
import type { Line, Series } from "./series.ts";

const isTableOpen = signal(false);

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
        <Hidden choice={choice} />
        <Chart label={describe(choice)} />
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
  const needsSearch = choices.value.length > CHOICES_MAX || choice.entries.length > LINES_MAX || search.value !== "";
  return (
    <div class="controls">
      {needsSearch && <Search label="Search the history" text={search} />}
      <label>
        <span class="unseen">Metric</span>
        <select value={choice.key} onChange={(event) => pick(event.currentTarget.value)}>
          {grouped(offered(choice)).map(([component, metrics]) => (
            <optgroup key={component} label={component}>
              {metrics.map((one) => (
                <option key={one.metric} value={one.key}>{component}: {nameOf(one)}</option>
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

/** Tells how many metrics are not in the list, and how many series are not in the chart. */
function Hidden({ choice }: { choice: Choice }) {
  const metrics = matching.value.length;
  const lines = drawn.value.length;
  const series = choice.entries.length;
  if (metrics === 0) return <p class="quiet hidden" role="status">Nothing matches. Try fewer or shorter words.</p>;
  return (
    <p class="quiet hidden" role="status">
      {metrics > CHOICES_MAX && `${formatCount(CHOICES_MAX)} of ${formatCount(metrics)} metrics are in the list. `}
      {lines < series && `${lines} of ${formatCount(series)} series ${lines === 1 ? "is" : "are"} drawn. `}
      {(metrics > CHOICES_MAX || lines < series) && "Search to find the others."}
    </p>
  );
}

/** The choices in the list, at most CHOICES_MAX besides the chosen one. */
function offered(choice: Choice): readonly Choice[] {
  const first = matching.value.slice(0, CHOICES_MAX);
  return first.includes(choice) ? first : [choice, ...first];
}

function grouped(choices: readonly Choice[]): [string, Choice[]][] {
  const found = new Map<string, Choice[]>();
  for (const choice of choices) {
    const known = found.get(choice.component);
    if (known) known.push(choice);
    else found.set(choice.component, [choice]);
  }
  return [...found];
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

/** The value of a line under the pointer or, without one, its last value in any bucket. */
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

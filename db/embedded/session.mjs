// The engine's one session, lent to one connection at a time.

import fs from 'node:fs';

import { resetSession, Unusable } from './engine.mjs';

/** How many of the service's own connections may overtake one that has waited for longer. */
const OVERTAKES_MAX = 8;

export class Session {
  #pg;
  #isLent = false;
  #own = [];
  #others = [];
  #overtakes = 0;
  #closing = false;

  constructor(pg) {
    this.#pg = pg;
  }

  /**
   * Waits for the session, and resolves to a function that returns it. The service's own connections go first, so that
   * they wait for at most one other client. OVERTAKES_MAX limits this: a busy writer must not starve readers.
   */
  async borrow(isOwn) {
    if (this.#isLent) {
      await new Promise((resolve) => (isOwn ? this.#own : this.#others).push(resolve));
    }
    this.#isLent = true;
    return () => this.#lendOn();
  }

  #lendOn() {
    const mayOvertake = this.#others.length === 0 || this.#overtakes < OVERTAKES_MAX;
    const isOwn = this.#own.length > 0 && mayOvertake;
    this.#overtakes = isOwn && this.#others.length > 0 ? this.#overtakes + 1 : 0;
    const next = isOwn ? this.#own.shift() : this.#others.shift();
    // The session stays lent, so that no new caller can take it before `next` runs.
    this.#isLent = next !== undefined;
    next?.();
  }

  /** Returns the answer's bytes, and whether they leave the session idle. */
  async execute(batch) {
    if (this.#closing) {
      throw new Error('the engine is closing');
    }
    const { data, messages } = await orDie(this.#pg.execProtocol(batch, { throwOnError: false }));
    const ready = messages.findLast(({ name }) => name === 'readyForQuery');
    // A copy, because the engine writes its next answer over this one.
    return { answer: Buffer.from(data), idle: ready?.status === 'I' };
  }

  async reset() {
    if (!this.#closing) {
      await orDie(resetSession(this.#pg));
    }
  }

  async close() {
    this.#closing = true;
    await orDie(resetSession(this.#pg));
    await orDie(this.#pg.close());
  }
}

/** After a trap the state of the engine's memory is unknown: only a new process is safe. */
async function orDie(promise) {
  try {
    return await promise;
  } catch (error) {
    die(error);
  }
}

export function die(error) {
  fs.writeSync(2, `${reasonOf(error)}\n`);
  if (error?.stack && !(error instanceof Unusable)) {
    // One line, for a log. Node itself would also print the engine's source, which is one line of 400 kB.
    fs.writeSync(2, `${String(error.stack).replaceAll(/\n\s*/g, ' ')}\n`);
  }
  process.exit(1);
}

/** Returns in one line why the engine ends. The build does not always throw an Error. */
function reasonOf(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    return `the engine trapped (${oneLine(error.message)}); if this happens again, its files are damaged`;
  }
  const words = error?.message ?? error?.name ?? (typeof error === 'object' ? JSON.stringify(error) : error);
  const number = error?.errno === undefined ? '' : ` (errno ${error.errno})`;
  return oneLine(`${words}${number}`);
}

function oneLine(text) {
  return String(text).replaceAll(/\s+/g, ' ').trim();
}

// The engine's one session, lent to one connection at a time.

import fs from 'node:fs';

import { resetSession, Unusable } from './engine.mjs';

/** So many of the service's own connections may go before one that has waited for longer. */
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
   * Resolves when the session is the caller's, to the function that ends that. The service's own work goes first,
   * so it waits for one of the others at most; never for ever, or a busy writer would leave readers nothing.
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
    // The session stays lent: nobody who asks meanwhile may come between.
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

/** A trap leaves the engine's memory in no known state: only a new process is safe. */
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
    // In one line, for a log; Node itself would also print the engine's source, 400 kB without a break.
    fs.writeSync(2, `${String(error.stack).replaceAll(/\n\s*/g, ' ')}\n`);
  }
  process.exit(1);
}

/** Says in a line why the engine ends: what the build throws is not always an error. */
function reasonOf(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    return `the engine trapped (${oneLine(error.message)}); if it does so again, its files are damaged`;
  }
  const words = error?.message ?? error?.name ?? (typeof error === 'object' ? JSON.stringify(error) : error);
  const number = error?.errno === undefined ? '' : ` (errno ${error.errno})`;
  return oneLine(`${words}${number}`);
}

function oneLine(text) {
  return String(text).replaceAll(/\s+/g, ' ').trim();
}

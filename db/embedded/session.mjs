// The engine's one session, lent to one connection at a time, in the order they asked.

import fs from 'node:fs';

import { resetSession } from './engine.mjs';

export class Session {
  #pg;
  #lastInLine = Promise.resolve();
  #closing = false;

  constructor(pg) {
    this.#pg = pg;
  }

  /** Resolves at the caller's turn to the function that ends it. */
  async borrow() {
    const before = this.#lastInLine;
    let giveBack;
    this.#lastInLine = new Promise((resolve) => (giveBack = resolve));
    await before;
    return giveBack;
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
  // In one line, for a log; Node itself would also print the engine's source, 400 kB without a break.
  fs.writeSync(2, `${String(error?.stack ?? error).replaceAll(/\n\s*/g, ' ')}\n`);
  process.exit(1);
}

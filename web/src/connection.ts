/** The one WebSocket: it comes back by itself, where it left off, until the session has ended. */

import { backoff } from "./backoff.ts";
import { MESSAGE_BYTES_MAX, SUBSCRIBED_SERIES_MAX } from "./limits.ts";
import type { Message, SeriesName } from "./types.ts";

export type Link = "connecting" | "live" | "reconnecting" | "signed out" | "refused";

const PATH = "/api/v1/monitoring/ws";
const SILENCE_MS = 30_000;
const PONG_MS = 10_000;
const NO_KEY = 4401;
const NO_READER = 4403;
/** Of the series in a message: the rest is for what stands around them. */
const LIST_BYTES_MAX = MESSAGE_BYTES_MAX - 4_096;

export class Connection {
  #socket: WebSocket | undefined;
  #seq: number | undefined;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Which series are wanted, as JSON, empty for all; and which the service knows to be. */
  #wanted = "";
  #subscribed = "";
  /** Whether the first state is here: a subscription would cut it short. */
  #isWhole = false;
  #onMessage: (message: Message) => void;
  #onLink: (link: Link) => void;

  constructor(onMessage: (message: Message) => void, onLink: (link: Link) => void) {
    this.#onMessage = onMessage;
    this.#onLink = onLink;
    window.addEventListener("online", () => {
      if (this.#socket === undefined && this.#timer !== undefined) this.open();
    });
  }

  open(): void {
    clearTimeout(this.#timer);
    const address = new URL(PATH, location.href.replace(/^http/, "ws"));
    if (this.#seq !== undefined) address.searchParams.set("resume", String(this.#seq));
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Message);
    socket.onclose = ({ code }) => this.#lose(code);
    this.#watch();
  }

  /** Be sent the values of these series alone, as many as a message can name, or of all. */
  subscribe(series: readonly SeriesName[] | undefined): void {
    this.#wanted = series ? fitting(series) : "";
    if (this.#isWhole && this.#wanted !== this.#subscribed) this.#subscribe();
  }

  #subscribe(): void {
    this.#subscribed = this.#wanted;
    this.#send(this.#wanted ? `{"type":"subscribe","series":${this.#wanted}}` : '{"type":"subscribe"}');
  }

  #take(message: Message): void {
    this.#seq = message.seq;
    this.#watch();
    if (message.type === "hello") {
      this.#attempt = 0;
      this.#onLink("live");
      this.#isWhole = message.data.resumed;
      this.#subscribed = "";
      // What happened meanwhile follows by itself, but values are never replayed.
      if (message.data.resumed) this.#subscribe();
    }
    if (message.type === "alerts" && message.data.snapshot && !this.#isWhole) {
      this.#isWhole = true;
      if (this.#wanted) this.#subscribe();
    }
    this.#onMessage(message);
  }

  #lose(code: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#socket = undefined;
    if (code === NO_KEY) return this.#onLink("signed out");
    if (code === NO_READER) return this.#onLink("refused");
    this.#isWhole = false;
    this.#onLink("reconnecting");
    this.#timer = setTimeout(() => this.open(), backoff(this.#attempt));
    this.#attempt += 1;
  }

  /** Ask after a silence whether anybody is there: a network that went away closes nothing. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#send('{"type":"ping"}');
      this.#timer = setTimeout(() => this.#abandon(), PONG_MS);
    }, SILENCE_MS);
  }

  #abandon(): void {
    if (this.#socket) {
      this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#lose(0);
  }

  #send(text: string): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }
}

/** The first of these series that fit into a message, as JSON. */
function fitting(series: readonly SeriesName[]): string {
  const texts: string[] = [];
  let left = LIST_BYTES_MAX;
  for (const one of series.slice(0, SUBSCRIBED_SERIES_MAX)) {
    const text = JSON.stringify(one);
    left -= new TextEncoder().encode(text).length + 1;
    if (left < 0) break;
    texts.push(text);
  }
  return `[${texts.join(",")}]`;
}

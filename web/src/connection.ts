/** The WebSocket: reconnects by itself and resumes where it stopped, until the session ends. */

import { backoff } from "./backoff.ts";
import { MESSAGE_BYTES_MAX, SUBSCRIBED_SERIES_MAX } from "./limits.ts";
import type { Message, SeriesName } from "./types.ts";

export type Link = "connecting" | "live" | "reconnecting" | "signed out" | "refused";

const PATH = "/api/v1/monitoring/ws";
const SILENCE_MS = 30_000;
const PONG_MS = 10_000;
const NO_KEY = 4401;
const NO_READER = 4403;
/** Most bytes of the list of series in a message; the rest is for the JSON around it. */
const LIST_BYTES_MAX = MESSAGE_BYTES_MAX - 4_096;

export class Connection {
  #socket: WebSocket | undefined;
  #seq: number | undefined;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The wanted and the subscribed series, as JSON; empty means all. */
  #wanted = "";
  #subscribed = "";
  /** Whether the first whole state has arrived. A subscription before would cut it short. */
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

  /** Subscribe to the values of these series, as many as fit into a message, or of all series. */
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
      // The service replays missed events by itself, but not values: request these again.
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

  /** Send a ping after a silence: a lost network does not close the socket. */
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

/** Return the first of these series that fit into a message, as JSON. */
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

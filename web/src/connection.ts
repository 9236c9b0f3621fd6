/** The one WebSocket: it comes back by itself, where it left off, until the session has ended. */

import { backoff } from "./backoff.ts";
import type { Message } from "./types.ts";

export type Link = "connecting" | "live" | "reconnecting" | "signed out" | "refused";

const PATH = "/api/v1/monitoring/ws";
const SILENCE_MS = 30_000;
const PONG_MS = 10_000;
const NO_KEY = 4401;
const NO_READER = 4403;

export class Connection {
  #socket: WebSocket | undefined;
  #seq: number | undefined;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
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

  #take(message: Message): void {
    this.#seq = message.seq;
    this.#watch();
    if (message.type === "hello") {
      this.#attempt = 0;
      this.#onLink("live");
      // What happened meanwhile follows by itself, but values are never replayed.
      if (message.data.resumed) this.#send("subscribe");
    }
    this.#onMessage(message);
  }

  #lose(code: number): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#socket = undefined;
    if (code === NO_KEY) return this.#onLink("signed out");
    if (code === NO_READER) return this.#onLink("refused");
    this.#onLink("reconnecting");
    this.#timer = setTimeout(() => this.open(), backoff(this.#attempt));
    this.#attempt += 1;
  }

  /** Ask after a silence whether anybody is there: a network that went away closes nothing. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#send("ping");
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

  #send(type: "ping" | "subscribe"): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type }));
  }
}

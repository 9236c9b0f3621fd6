// One client connection, from its start-up packet to its end. No error of a client stops the session for the others.

import { wireMessage, fatal, Framer, int32, ProtocolError } from './framing.mjs';

const DISCARD_SILENCE_MS = 500;

const CANCEL_REQUEST = 80877102;
const ENCRYPTION_REQUESTS = [80877103, 80877104];
const PROTOCOL_3_0 = 196608;

/** The application name of the service's own connections; see `SERVICE` in db/pool.py. */
const OWN_APPLICATION = 'vigia';

export class Connection {
  #socket;
  #session;
  #greeting;
  #silenceMsMax;
  #framer = new Framer();
  #giveBack;
  #used = false;
  #isOwn = false;

  constructor(socket, session, { greeting, silenceMsMax }) {
    this.#socket = socket;
    this.#session = session;
    this.#greeting = greeting;
    this.#silenceMsMax = silenceMsMax;
  }

  async serve() {
    // The loop and the writes below handle the same errors. Without a listener an error would end the process.
    this.#socket.on('error', () => {});
    this.#socket.setTimeout(this.#silenceMsMax, () => this.#hangUp());
    try {
      await this.#converse();
      this.#socket.destroy();
    } catch (error) {
      this.#refuse(error);
    } finally {
      await this.#leave();
    }
  }

  async #converse() {
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
      for (const { startup, batch } of this.#framer.push(chunk)) {
        const answer = startup ? this.#welcome(startup) : batch && (await this.#execute(batch));
        if (!answer) {
          return;
        }
        await this.#write(answer);
      }
    }
  }

  #welcome(startup) {
    const code = startup.readInt32BE(4);
    if (ENCRYPTION_REQUESTS.includes(code)) {
      return Buffer.from('N');
    }
    if (code === CANCEL_REQUEST) {
      return undefined; // The engine cannot interrupt a running statement.
    }
    if (code < PROTOCOL_3_0 || code > 0x3ffff) {
      throw new ProtocolError('0A000', 'unsupported frontend protocol');
    }
    this.#isOwn = startupParameter(startup, 'application_name') === OWN_APPLICATION;
    this.#socket.setTimeout(0);
    return this.#greeting;
  }

  async #execute(batch) {
    this.#giveBack ??= await this.#session.borrow(this.#isOwn);
    this.#used = true;
    const { answer, idle } = await this.#session.execute(batch);
    // A client that is silent inside a transaction blocks all others.
    this.#socket.setTimeout(idle ? 0 : this.#silenceMsMax);
    if (idle) {
      this.#endTurn();
    }
    return answer;
  }

  #endTurn() {
    this.#giveBack();
    this.#giveBack = undefined;
  }

  async #write(bytes) {
    await new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  #hangUp() {
    this.#socket.write(fatal('25P03', 'terminating connection due to idle-in-transaction timeout'));
    this.#socket.destroy();
  }

  #refuse(error) {
    if (!(error instanceof ProtocolError)) {
      this.#socket.destroy();
      return;
    }
    // A client that is sending a long message reads the reason only after it has sent the rest. Discard that.
    this.#socket.write(fatal(error.code, error.message));
    this.#socket.resume();
    this.#socket.removeAllListeners('timeout');
    this.#socket.setTimeout(DISCARD_SILENCE_MS, () => this.#socket.destroy());
  }

  async #leave() {
    if (this.#used) {
      this.#giveBack ??= await this.#session.borrow(this.#isOwn);
      await this.#session.reset();
      this.#endTurn();
    }
  }
}

/** A parameter of a start-up message: names and values alternate after its length and version. */
function startupParameter(startup, name) {
  const words = startup.subarray(8).toString('utf8').split('\0');
  const place = words.findIndex((word, index) => index % 2 === 0 && word === name);
  return place < 0 ? undefined : words[place + 1];
}

const REPORTED = [
  'server_version',
  'server_encoding',
  'client_encoding',
  'default_transaction_read_only',
  'in_hot_standby',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'integer_datetimes',
  'standard_conforming_strings',
];

/** The answer to a start-up message. Only the owner can open the socket, so there is no password. */
export async function greet(pg) {
  const { rows } = await pg.query('SELECT name, setting FROM pg_settings WHERE name = ANY($1)', [
    REPORTED,
  ]);
  return Buffer.concat([
    wireMessage('R', int32(0)),
    ...rows.map(({ name, setting }) => wireMessage('S', name, setting)),
    wireMessage('K', int32(process.pid, 0)),
    wireMessage('Z', Buffer.from('I')),
  ]);
}

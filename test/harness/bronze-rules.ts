import { BRONZE_SCHEMA, columnsToBars } from '../../src/lake/bronze.ts';
import { dailyKey, dataKey, parseBronzeKey } from '../../src/lake/keys.ts';
import { type DecodedTable, decodeTable } from '../../src/lake/parquet-decode.ts';
import { type ObjectStore, orNone } from '../../src/lake/store.ts';
import { formatSession, sessionAt, sessionFrom } from '../../src/session.ts';
import { type Values, valuesOf } from './bar-values.ts';
import type { History } from './history.ts';
import type { Actor } from './scheduler.ts';

/** Whoever writes, as far as the rules of writing need it. */
export interface Writer extends Actor {
  /** The writer's own clock, right or wrong. */
  now(): number;
}

export interface RulesOptions {
  readonly history: History;
  readonly retentionDays: number;
  readonly report: (violation: string) => void;
}

/** A bronze file: its bars, the name of its write, and what it has applied. */
interface Bronze {
  readonly values: Values;
  readonly write: string | undefined;
  readonly applied: Readonly<Record<string, readonly [digest: string, etag: string, on: number, ...writes: string[]]>>;
}

const NOTHING: Bronze = { values: new Map(), write: undefined, applied: {} };

/**
 * What may be written to bronze, and deleted: `data.parquet` loses no session and goes back to no older bar (I3); daily
 * files go only where they are proven applied, and old (I4).
 */
export function bronzeRules(store: ObjectStore, { history, retentionDays, report }: RulesOptions) {
  /** Bars that data.parquet had, and whose writes were over, before it got others; by symbol and session. */
  const left = new Map<string, Set<number>>();

  async function read(key: string): Promise<Bronze> {
    const found = await orNone(store.get(key));
    return found ? readBronze(decodeTable(BRONZE_SCHEMA, found.body, key)) : NOTHING;
  }

  async function checkHistory(symbol: string, before: Bronze, after: Bronze, place: string): Promise<void> {
    for (const [session, value] of before.values) {
      const now = after.values.get(session);
      if (now === value) continue;
      if (now === undefined) {
        report(`I3 ${place} loses ${session}`);
        continue;
      }
      const id = `${symbol} ${session}`;
      const old = left.get(id) ?? new Set();
      // A write that is not over may be done again, over one of the same time; and what it did last may wait to be applied.
      const write = history.find(symbol, session, value);
      const isOver = write?.end !== Number.POSITIVE_INFINITY && !write?.mayComeLate;
      if (isOver && !(await isWaiting(symbol, session, value, after))) left.set(id, old.add(value));
      if (old.has(now)) report(`I3 ${place} goes back to ${now} for ${session}, which it had before ${value}`);
    }
  }

  /** Whether a daily file has the value that `data.parquet` has not applied: it came while the other was being written. */
  async function isWaiting(symbol: string, session: number, value: number, { applied }: Bronze): Promise<boolean> {
    const { values, write } = await read(dailyKey(symbol, session));
    const [, , , ...writes] = applied[formatSession(session)] ?? [];
    return values.get(session) === value && write !== undefined && !writes.includes(write);
  }

  function checkOrder(symbol: string, before: Values, after: Values, place: string): void {
    for (const [session, value] of after) {
      const write = history.find(symbol, session, value);
      const old = history.find(symbol, session, before.get(session) ?? Number.NaN);
      if (!write) report(`I9 ${place} has ${value} for ${session}, which nobody wrote`);
      else if (old && old !== write && history.isOlder(write, old)) {
        report(`I3 ${place} takes ${value} for ${session} over ${old.value}, which is later`);
      }
    }
  }

  /** A daily file that is there and is taken for not applied would be applied again, over what has come since. */
  async function checkApplied(symbol: string, before: Bronze, after: Bronze, place: string): Promise<void> {
    for (const [date, [, etag]] of Object.entries(before.applied)) {
      if (after.applied[date]) continue;
      const daily = await orNone(store.head(dailyKey(symbol, sessionFrom(date))));
      if (daily?.etag === etag) report(`I3 ${place} forgets that it has applied ${date}, whose file is there`);
    }
  }

  return {
    async checkPut(key: string, body: Uint8Array): Promise<void> {
      const { symbol, session } = parseBronzeKey(key)!;
      const [before, after] = [await read(key), readBronze(decodeTable(BRONZE_SCHEMA, body, key))];
      if (session === undefined) {
        await checkHistory(symbol, before, after, key);
        await checkApplied(symbol, before, after, key);
      } else if (after.values.size !== 1 || !after.values.has(session)) {
        report(`I9 ${key} has sessions ${[...after.values.keys()]}`);
      }
      checkOrder(symbol, before.values, after.values, key);
    },

    async checkDelete(writer: Writer, key: string, ifMatch: string | undefined): Promise<void> {
      const { symbol, session } = parseBronzeKey(key) ?? {};
      if (symbol === undefined || session === undefined) {
        report(`I4 ${writer.name} deletes ${key}`);
        return;
      }
      const today = sessionAt(writer.now());
      if (session >= today - retentionDays) report(`I4 ${writer.name} deletes ${key} on ${formatSession(today)}`);
      if (ifMatch === undefined) report(`I4 ${writer.name} deletes ${key}, whatever its version`);
      const [{ write }, { values, applied }] = [await read(key), await read(dataKey(symbol))];
      const found = await orNone(store.head(key));
      const [, etag, , ...writes] = applied[formatSession(session)] ?? [];
      const isApplied = etag === found?.etag || (write !== undefined && writes.includes(write));
      if (found && (!isApplied || !values.has(session))) {
        report(`I4 ${writer.name} deletes ${key}, which is not applied`);
      }
    },
  };
}

function readBronze({ columns, metadata }: DecodedTable): Bronze {
  const applied = JSON.parse(metadata.applied ?? '{}');
  return { values: valuesOf(columnsToBars(columns)), write: metadata.writes?.split(',')[0], applied };
}

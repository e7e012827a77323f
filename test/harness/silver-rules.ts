import { decodeTable } from '../../src/lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../../src/lake/silver.ts';
import { type ObjectStore, orNone } from '../../src/lake/store.ts';
import type { Actor } from './scheduler.ts';

interface State {
  readonly epoch: number;
  readonly state: string;
}

/**
 * Fencing (I8): an epoch is claimed once, is above all before it, and is committed by whoever claimed it, while nobody has
 * claimed a later one; a month file is never replaced by one of a lower epoch.
 */
export function silverRules(store: ObjectStore, report: (violation: string) => void) {
  /** Who claimed which epoch of which checkpoint, in order. */
  const claims: { readonly key: string; readonly epoch: number; readonly by: Actor }[] = [];
  const read = async (key: string): Promise<State | undefined> => {
    const found = await orNone(store.get(key));
    try {
      return found && parse(found.body);
    } catch {
      // Planted at the start.
      return undefined;
    }
  };
  return {
    async checkCheckpoint(by: Actor, key: string, body: Uint8Array): Promise<void> {
      const [before, after] = [await read(key), parse(body)];
      if (after.state === 'running') {
        if (after.epoch <= (before?.epoch ?? 0)) report(`I8 ${by.name} claims ${after.epoch} after ${before?.epoch}`);
        claims.push({ key, epoch: after.epoch, by });
      } else if (!claims.some((claim) => claim.key === key && claim.epoch === after.epoch && claim.by === by)) {
        report(`I8 ${by.name} commits ${key} with epoch ${after.epoch}, which it never claimed`);
      } else if (before?.epoch !== after.epoch) {
        report(`I8 ${by.name} commits epoch ${after.epoch} of ${key} after ${before?.epoch} was claimed`);
      }
    },
    async checkMonth(by: Actor, key: string, { epoch = '0' }: Readonly<Record<string, string>>): Promise<void> {
      const found = await orNone(store.get(key));
      const before = found ? Number(decodeTable(SILVER_SCHEMA, found.body, key).metadata.epoch) : 0;
      if (before > Number(epoch)) report(`I8 ${by.name} replaces ${key} of epoch ${before} with one of ${epoch}`);
    },
    isFenced: (by: Actor): boolean =>
      claims.some(
        (mine) =>
          mine.by === by &&
          claims.some((other) => other.key === mine.key && other.by !== by && other.epoch > mine.epoch),
      ),
  };
}

function parse(body: Uint8Array): State {
  return JSON.parse(new TextDecoder().decode(body));
}

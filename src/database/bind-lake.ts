import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { BatchLayerError, hasCode } from '../errors.ts';
import { parseJson } from '../json.ts';
import { type ObjectStore, orNone, type StoreCall } from '../lake/store.ts';
import type { Database } from './connection.ts';

/** Names a lake, wherever it is copied to. */
export const LAKE_ID_KEY = 'processing_metadata/lake.json';

const document = z.strictObject({ id: z.uuid() });

/**
 * Makes a database that of this lake, where it is nobody's yet.
 *
 * What a lake lacks is no reason to think that it was deleted where it never was: rows of silver would go, and bars would count as
 * fetched that are in another lake.
 *
 * @throws BatchLayerError `BadInput` where the database is that of another lake; what the store and the database throw
 */
export async function bindLake(store: ObjectStore, database: Database, { signal }: StoreCall = {}): Promise<void> {
  const id = await readLakeId(store, { signal });
  const bound = await database.transaction(
    async (client) => {
      await client.query('INSERT INTO lake (id) SELECT $1 WHERE NOT EXISTS (SELECT FROM lake) ON CONFLICT DO NOTHING', [
        id,
      ]);
      const { rows } = await client.query<{ id: string }>('SELECT id FROM lake');
      return rows[0]!.id;
    },
    { signal },
  );
  if (bound === id) return;
  throw new BatchLayerError(
    'BadInput',
    `${database.place}: is the database of another lake (${bound}), not of this one (${id}): check --lake and --db; to give it to this lake, empty its tables and lake`,
  );
}

async function readLakeId(store: ObjectStore, { signal }: StoreCall): Promise<string> {
  const object = await orNone(store.get(LAKE_ID_KEY, { signal }));
  if (object) return parseLakeId(object.body);
  const id = randomUUID();
  const body = new TextEncoder().encode(`${JSON.stringify({ id })}\n`);
  try {
    await store.put(LAKE_ID_KEY, body, { ifNoneMatch: '*', signal });
    return id;
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
    return parseLakeId((await store.get(LAKE_ID_KEY, { signal })).body);
  }
}

function parseLakeId(body: Uint8Array): string {
  try {
    return document.parse(parseJson(new TextDecoder('utf-8', { fatal: true }).decode(body))).id;
  } catch (error) {
    throw new BatchLayerError('CorruptObject', `${LAKE_ID_KEY}: is no lake's id: expected {"id": a UUID}`, {
      cause: error,
    });
  }
}

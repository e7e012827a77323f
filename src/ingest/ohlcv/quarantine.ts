import { hasCode } from '../../errors.ts';
import { digestText } from '../../lake/digest.ts';
import { quarantineKey } from '../../lake/keys.ts';
import type { ObjectStore, StoreCall } from '../../lake/store.ts';
import type { QuarantinedRow } from './source-row.ts';

/**
 * Keeps rows that are no bars, with what is wrong with them: an object for each set of rows. The same rows again are the same
 * object.
 *
 * @param of what they came for: `date=2025-11-19` or `symbol=AAPL`
 * @returns its key, or `undefined` where there are no rows
 */
export async function putQuarantine(
  store: ObjectStore,
  of: string,
  { source, rows, signal }: StoreCall & { readonly source: string; readonly rows: readonly QuarantinedRow[] },
): Promise<string | undefined> {
  if (rows.length === 0) return undefined;
  const text = `${JSON.stringify({ source, rows }, undefined, 1)}\n`;
  const key = quarantineKey(of, digestText(text));
  try {
    await store.put(key, new TextEncoder().encode(text), { ifNoneMatch: '*', signal });
  } catch (error) {
    if (!hasCode(error, 'Conflict')) throw error;
  }
  return key;
}

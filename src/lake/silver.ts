import { type Groups, groupVwap } from '../resample/groups.ts';
import { BRONZE_SCHEMA } from './bronze.ts';
import { type Columns, type ColumnValues, encodeUtf8, gatherUtf8, type TableSchema } from './columns.ts';

/** Columns of silver files: groups of n bars, `date` their first session, `end_date` their last. */
export const SILVER_SCHEMA: TableSchema = [
  { name: 'symbol', type: 'utf8' },
  { name: 'date', type: 'date' },
  { name: 'end_date', type: 'date' },
  { name: 'open', type: 'float64' },
  { name: 'high', type: 'float64' },
  { name: 'low', type: 'float64' },
  { name: 'close', type: 'float64' },
  { name: 'volume', type: 'float64' },
  { name: 'vwap', type: 'float64', nullable: true },
  { name: 'bars', type: 'int32' },
  { name: 'complete', type: 'bool' },
];

/** Silver columns of several intervals in one table, as streams have them: `interval` is n. */
export const GROUP_STREAM_SCHEMA: TableSchema = [{ name: 'interval', type: 'int32' }, ...SILVER_SCHEMA];

/** What a stream or file with these columns holds: groups of several intervals, of one, or bars. */
export function schemaOf(names: readonly string[]): TableSchema {
  if (names.includes('interval')) return GROUP_STREAM_SCHEMA;
  return names.includes('end_date') ? SILVER_SCHEMA : BRONZE_SCHEMA;
}

/**
 * Groups of one interval as a table of `schema`; arrays are shared.
 *
 * @param symbols what the indexes in `groups.symbol` stand for
 */
export function groupsToColumns(
  schema: TableSchema,
  groups: Groups,
  interval: number,
  symbols: readonly string[],
): Columns {
  const { length } = groups.bars;
  const vwap = new Float64Array(length);
  const complete = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    vwap[i] = groupVwap(groups, i);
    complete[i] = groups.bars[i] === interval ? 1 : 0;
  }
  const values: Record<string, ColumnValues | undefined> = {
    interval: new Int32Array(length).fill(interval),
    symbol: gatherUtf8(encodeUtf8(symbols), groups.symbol),
    date: groups.session,
    end_date: groups.endSession,
    open: groups.open,
    high: groups.high,
    low: groups.low,
    close: groups.close,
    volume: groups.volume,
    vwap,
    bars: groups.bars,
    complete,
  };
  return { length, values: schema.map(({ name }) => values[name]!) };
}

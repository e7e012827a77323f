import { Transform } from 'node:stream';
import type { RecordBatch } from 'apache-arrow';
import { BatchLayerError } from '../errors.ts';
import { fromRecordBatch, toRecordBatch } from '../lake/arrow.ts';
import { BRONZE_SCHEMA, columnsToBars } from '../lake/bronze.ts';
import { columnOf, runsOfUtf8, type Utf8Values } from '../lake/columns.ts';
import { GROUP_STREAM_SCHEMA, groupsToColumns } from '../lake/silver.ts';
import { formatSession } from '../session.ts';
import { compareSymbols } from '../symbol.ts';
import { type Groups, sliceGroups } from './groups.ts';
import { checkIntervals, INTERVALS, resampleBars } from './kernel.ts';

/**
 * A stream that turns RecordBatches of bars into RecordBatches of groups, one for every interval and batch, with the
 * columns of silver after `interval` (n).
 *
 * Bars must be ordered by symbol and session, over all batches; else the stream fails with `BadInput`. A symbol's open
 * group is held back until the symbol ends, so memory is one batch and one group an interval.
 *
 * @throws BatchLayerError `BadInput` for an interval that is not a whole number ≥ 1
 *
 * @example
 * resampleTransform({ intervals: [3, 5] })
 */
export function resampleTransform({
  intervals = INTERVALS,
}: {
  readonly intervals?: readonly number[];
} = {}): Transform {
  checkIntervals(intervals);
  /** The symbol that may go on in the next batch, its last session, and its open group of every interval. */
  let last: { readonly symbol: string; readonly session: number; readonly open: readonly Groups[] } | undefined;

  function resample(batch: RecordBatch): RecordBatch[] {
    const columns = fromRecordBatch(BRONZE_SCHEMA, batch, 'resampleTransform');
    if (columns.length === 0) return [];
    const bars = columnsToBars(columns);
    const { values: symbols, starts } = runsOfUtf8(columnOf<Utf8Values>(BRONZE_SCHEMA, columns, 'symbol'));
    const goesOn = last !== undefined && last.symbol === symbols[0];
    checkOrder(
      goesOn || !last ? symbols : [last.symbol, ...symbols],
      starts,
      bars.session,
      goesOn ? last!.session : undefined,
    );
    const made = resampleBars(bars, starts, intervals, goesOn ? last!.open : undefined);
    const finished = goesOn || !last ? [] : flush();
    const ends = made.map((groups, k) => {
      const end = groups.bars.length;
      return groups.bars[end - 1]! < intervals[k]! ? end - 1 : end;
    });
    last = {
      symbol: symbols.at(-1)!,
      session: bars.session.at(-1)!,
      open: made.map((groups, k) => relabel(sliceGroups(groups, ends[k]!, groups.bars.length))),
    };
    return [
      ...finished,
      ...made.flatMap((groups, k) => encode(sliceGroups(groups, 0, ends[k]!), intervals[k]!, symbols)),
    ];
  }

  function flush(): RecordBatch[] {
    return last ? last.open.flatMap((groups, k) => encode(groups, intervals[k]!, [last!.symbol])) : [];
  }

  return new Transform({
    objectMode: true,
    highWaterMark: 1,
    transform(batch, _encoding, done) {
      pushAll(this, () => resample(batch), done);
    },
    flush(done) {
      pushAll(this, flush, done);
    },
  });
}

function pushAll(stream: Transform, make: () => RecordBatch[], done: (error?: Error) => void): void {
  try {
    for (const batch of make()) stream.push(batch);
    done();
  } catch (error) {
    done(error as Error);
  }
}

function encode(groups: Groups, interval: number, symbols: readonly string[]): RecordBatch[] {
  if (groups.bars.length === 0) return [];
  return [toRecordBatch(GROUP_STREAM_SCHEMA, groupsToColumns(GROUP_STREAM_SCHEMA, groups, interval, symbols))];
}

// A carried group belongs to the first symbol of the batch that goes on with it.
function relabel(open: Groups): Groups {
  return { ...open, symbol: new Int32Array(open.symbol.length) };
}

function checkOrder(
  symbols: readonly string[],
  starts: Int32Array,
  session: Int32Array,
  lastSession: number | undefined,
): void {
  const s = symbols.findIndex((symbol, i) => i > 0 && compareSymbols(symbols[i - 1]!, symbol) > 0);
  if (s > 0) throw outOfOrder(`${symbols[s]} after ${symbols[s - 1]}`);
  const firsts = new Set(starts);
  for (let i = 0; i < session.length; i++) {
    const before = i === 0 ? lastSession : firsts.has(i) ? undefined : session[i - 1]!;
    if (before !== undefined && session[i]! <= before) {
      throw outOfOrder(`session ${formatSession(session[i]!)} after ${formatSession(before)}`);
    }
  }
}

function outOfOrder(what: string): BatchLayerError {
  return new BatchLayerError('BadInput', `bars are out of order: ${what}; expected ascending by symbol and session`);
}

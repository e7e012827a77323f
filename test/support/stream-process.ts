// A process that writes a file of bars (`write`), or resamples it from stream to stream (`resample`), and prints its peak
// memory in MB.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { toRecordBatch } from '../../src/lake/arrow.ts';
import { BRONZE_SCHEMA, barsToColumns } from '../../src/lake/bronze.ts';
import { fileStore } from '../../src/lake/file-store.ts';
import { readBars } from '../../src/lake/read-bars.ts';
import { writeBars } from '../../src/lake/write-bars.ts';
import { resampleTransform } from '../../src/resample/transform.ts';
import { syntheticMarket } from '../../src/runtime/synthetic-market.ts';

const [folder, mode, bars] = process.argv.slice(2) as [string, string, string];
const store = fileStore(folder);
function* batches() {
  const market = {
    symbols: Math.ceil(Number(bars) / 2000),
    bars: Number(bars),
    longest: 15_876,
    lastDate: '2026-11-20',
  };
  for (const { symbol, bars: history } of syntheticMarket(market)) {
    yield toRecordBatch(BRONZE_SCHEMA, barsToColumns(symbol, history));
  }
}
if (mode === 'write') await pipeline(Readable.from(batches()), writeBars(store, 'bars.parquet'));
else await pipeline(readBars(store, 'bars.parquet'), resampleTransform(), writeBars(store, 'groups.parquet'));
console.log(Math.round(process.resourceUsage().maxRSS / 1024));

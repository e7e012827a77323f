// Bars to groups as Node streams, in bounded memory: npx node examples/stream.ts
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { memoryStore, readBars, resampleTransform, writeBars } from '@condvest/batch-layer';
import { encodeBars } from '@condvest/batch-layer/lake';
import { syntheticMarket } from '@condvest/batch-layer/runtime';

const store = memoryStore();
for (const { symbol, bars } of syntheticMarket({ symbols: 1, bars: 5000, longest: 5000, lastDate: '2025-12-31' })) {
  await store.put('bars.parquet', encodeBars(symbol, bars).bytes);
}

await pipeline(
  readBars(store, 'bars.parquet'),
  resampleTransform({ intervals: [5, 21] }),
  writeBars(store, 'groups.parquet', { ifNoneMatch: '*' }),
);
const { size } = await store.head('groups.parquet');
console.log(`5,000 bars became groups of 5 and 21 sessions in ${size} bytes of Parquet`);

// The transform alone takes Arrow RecordBatches from anywhere and gives them to anyone.
const groups = readBars(store, 'bars.parquet').pipe(resampleTransform({ intervals: [1000] }));
const [first] = await once(groups, 'data');
console.log(`the first of ${first.numRows} groups: ${JSON.stringify(first.get(0))}`);

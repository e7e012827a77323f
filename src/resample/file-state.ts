import { hasCode } from '../errors.ts';
import { checkFooter, metadataOf, openFooter, wholeNumberOf } from '../lake/parquet-decode.ts';
import { SILVER_SCHEMA } from '../lake/silver.ts';
import type { ObjectStore, StoreCall } from '../lake/store.ts';

/** What a month file tells of itself. */
export interface FileState {
  /** Of the run that wrote it; 0 where the file is missing or damaged, so that it is replaced. */
  readonly epoch: number;
  /** Of its groups, as said in its footer. */
  readonly digest: string | undefined;
  readonly etag: string | undefined;
}

/** What a month file tells of itself, by its footer. */
export async function readFileState(store: ObjectStore, key: string, call?: StoreCall): Promise<FileState> {
  let etag: string | undefined;
  try {
    const info = await store.head(key, call);
    etag = info.etag;
    const read = (start: number, end: number) => store.getRange(key, { ...call, start, end, ifMatch: info.etag });
    const footer = await openFooter(read, info.size, key);
    const { digest } = checkFooter(SILVER_SCHEMA, footer, key);
    return { epoch: wholeNumberOf(metadataOf(footer), 'epoch', key), digest, etag };
  } catch (error) {
    if (hasCode(error, 'Conflict')) return readFileState(store, key, call);
    if (hasCode(error, 'NotFound', 'CorruptObject')) return { epoch: 0, digest: undefined, etag };
    throw error;
  }
}

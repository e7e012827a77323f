import { InvalidArgumentError, Option } from 'commander';
import { BatchLayerError, messageOf } from '../errors.ts';
import { openStore, parseShard, type Shard } from '../lake/index.ts';
import { checkIntervals } from '../resample/kernel.ts';
import { sessionFrom } from '../session.ts';
import { checkSymbol } from '../symbol.ts';

/** `--lake`, checked as it is read: by default the bucket that the environment names, else a folder here. */
export function lakeOption(env: NodeJS.ProcessEnv = process.env): Option {
  return new Option('--lake <url>', 'where the lake is: file:PATH or s3://bucket/prefix')
    .default(lakeOfBucket(env) ?? 'file:./lake')
    .env('LAKE_URL')
    .argParser(parseLake);
}

// As the job definitions of the old system have them: S3_PREFIX is where its bars are, below the lake's own prefix.
function lakeOfBucket(env: NodeJS.ProcessEnv): string | undefined {
  const bucket = env.S3_DATALAKE_BUCKET || env.S3_BUCKET || env.S3_BUCKET_NAME;
  if (!bucket) return undefined;
  const prefix = (env.S3_PREFIX ?? '').replace(/^\/+|\/+$/g, '').replace(/(?:^|\/)bronze\/raw_ohlcv$/, '');
  return prefix ? `s3://${bucket}/${prefix}` : `s3://${bucket}`;
}

/** The URL of a lake, or wrong usage. */
export function parseLake(url: string): string {
  return usage(() => openStore(url)) && url;
}

/** `--symbols`, a list. */
export function symbolsOption(): Option {
  return new Option('--symbols <list>', 'only these, such as AAPL,BRK.B').argParser((text) =>
    text.split(',').map(parseSymbol),
  );
}

/** `--max-workers`. */
export function maxWorkersOption(): Option {
  return countOption('--max-workers <n>', 'symbols at the same time', 1).default(10).env('MAX_WORKERS');
}

/** `--retention-days`. */
export function retentionOption(): Option {
  return countOption('--retention-days <n>', 'calendar days that daily files are kept', 0)
    .default(30)
    .env('RETENTION_DAYS');
}

/** An option that takes a date, as days since 1970-01-01. */
export function dateOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => usage(() => sessionFrom(text)));
}

/** `--backfill-days`. */
export function backfillOption(): Option {
  return countOption('--backfill-days <n>', 'calendar days to look back (30 where left out)', 0);
}

/** `--shard`. */
export function shardOption(): Option {
  const option = new Option(
    '--shard <i/N>',
    'only the symbols of shard i of N, from 0/N on; a child of an AWS Batch array job knows its own',
  );
  return option.argParser((text) => usage(() => parseShard(text)));
}

/**
 * The shard of this child of an AWS Batch array job; `undefined` where it is none.
 *
 * @throws BatchLayerError `BadInput` where the environment has the child's index but not (rightly) how many there are
 */
export function shardOfArrayJob(env: NodeJS.ProcessEnv): Shard | undefined {
  const [index, size] = [env.AWS_BATCH_JOB_ARRAY_INDEX, env.AWS_BATCH_JOB_ARRAY_SIZE];
  if (!index) return undefined;
  if (!size) {
    throw new BatchLayerError(
      'BadInput',
      `AWS_BATCH_JOB_ARRAY_INDEX is ${index}, and AWS_BATCH_JOB_ARRAY_SIZE is not set: set it, or give --shard ${index}/N`,
    );
  }
  try {
    return parseShard(`${index}/${size}`);
  } catch (error) {
    const message = `AWS_BATCH_JOB_ARRAY_INDEX and AWS_BATCH_JOB_ARRAY_SIZE: ${messageOf(error)}`;
    throw new BatchLayerError('BadInput', message, { cause: error });
  }
}

/** `--lookback`: years or months, such as 5y or 18m, in months. */
export function lookbackOption(): Option {
  return new Option('--lookback <time>', 'rewrite only month files of the last years (5y) or months (18m)').argParser(
    (text) => {
      const [, count, unit] = /^([1-9]\d{0,3})([ym])$/.exec(text) ?? [];
      if (!count) throw new InvalidArgumentError('Expected a number of years or months, such as 5y or 18m.');
      return Number(count) * (unit === 'y' ? 12 : 1);
    },
  );
}

/** An option that takes a whole number. */
export function countOption(flags: string, description: string, least: number): Option {
  return new Option(flags, description).argParser((text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least) throw new InvalidArgumentError(`Expected a whole number ≥ ${least}.`);
    return value;
  });
}

/** A symbol, or wrong usage. */
export function parseSymbol(text: string): string {
  return usage(() => checkSymbol(text));
}

/** Intervals from a list such as 3,5,8, or wrong usage. */
export function parseIntervals(text: string): number[] {
  const intervals = text.split(',').map(Number);
  usage(() => checkIntervals(intervals));
  return intervals;
}

// Commander shows the message of this error beside the option's name.
function usage<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

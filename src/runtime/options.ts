import { InvalidArgumentError, Option } from 'commander';
import { messageOf } from '../errors.ts';
import { openStore } from '../lake/index.ts';
import { checkIntervals } from '../resample/kernel.ts';
import { checkSymbol } from '../symbol.ts';

/** `--lake`, checked as it is read. */
export function lakeOption(): Option {
  return new Option('--lake <url>', 'where the lake is: file:PATH or s3://bucket/prefix')
    .default('file:./lake')
    .env('LAKE_URL')
    .argParser(parseLake);
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

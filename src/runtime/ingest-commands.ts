import { type Command, Option } from 'commander';
import { parseCalendarOverrides } from '../calendar.ts';
import { barSink, type Database, metadataSink } from '../database/index.ts';
import { BatchLayerError } from '../errors.ts';
import { type MarketApi, openMarketApi, parseRateLimit } from '../ingest/api/market-api.ts';
import { flatFileSource, ingestCsv, ingestFrom, ingestMeta, ingestOhlcv } from '../ingest/index.ts';
import { type ObjectStore, openStore, s3Store } from '../lake/index.ts';
import { checkSymbol } from '../symbol.ts';
import { addCommand, type Context, type Execute, example, exitCodeOf, type Outcome } from './command.ts';
import { describeReconciled, openWatermarks, reconcileAfter } from './database-commands.ts';
import { DATABASE_HELP, databaseOption, withMirror } from './database-options.ts';
import { addDms } from './ingest-dms-command.ts';
import { describeFetch, describeIngest, describeMeta, describeOhlcv } from './ingest-results.ts';
import { backfillOption, countOption, dateOption, lakeOption, parseSymbol, symbolsOption } from './options.ts';
import { lines } from './result-text.ts';
import { marketApiKey } from './secrets.ts';

const DATES_HELP = `Sessions are trading days in New York. One that the lake has, and that is no longer corrected, is not fetched again; the last
three are. What fails is named under missing, the exit code is 3, and the next run fetches it.`;
const API_HELP = `The key is in POLYGON_API_KEY, or in AWS Secrets Manager under POLYGON_API_KEY_SECRET_ARN. POLYGON_BASE_URL is another server
than https://api.massive.com, POLYGON_RATE_LIMIT what the plan allows (80/s; 5/min for the free one).`;

const DATABASE_SINK_HELP = `With --db the database gets the bars of the last three years and one month too, and keeps the watermarks. Bronze is the truth: what
the database does not take fails nothing, and is brought at the end of this run or of the next.
${DATABASE_HELP}`;

/** `ingest csv`, `ingest ohlcv`, `ingest meta`, `ingest flatfiles`, `ingest dms`. */
export function addIngestCommands(program: Command, execute: Execute): void {
  const ingest = program.command('ingest').description('Bring bars, and what belongs to them, into the lake.');
  addCsv(ingest, execute);
  addOhlcv(ingest, execute);
  addMeta(ingest, execute);
  addFlatFiles(ingest, execute);
  addDms(ingest, execute);
}

function addCsv(ingest: Command, execute: Execute): void {
  addCommand(
    ingest,
    'csv',
    'Bars from CSV files (.gz too), with the columns symbol,date,open,high,low,close,volume[,vwap,trades].',
  )
    .argument('<file...>', 'CSV files')
    .option('--consolidated', "write each symbol's data.parquet at once (bulk history) instead of one file a session")
    .addOption(
      new Option('--symbol <symbol>', 'the symbol of all rows, for files without that column').argParser(parseSymbol),
    )
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example('batch-layer ingest csv bars.csv', 'batch-layer ingest csv history.csv.gz --consolidated --lake file:./lake')}
Lines that are wrong are named with file and line and counted; the others land, and the exit code is 3.`,
    )
    .action((files, options, command) =>
      execute(command, async (context) => {
        const { consolidated, symbol } = options;
        const result = await ingestCsv(openStore(options.lake), files, { consolidated, symbol, ...context });
        return {
          result,
          text: describeIngest(result),
          exitCode: exitCodeOf(result.failed.length, result.symbols, result.rejected),
        };
      }),
    );
}

function addOhlcv(ingest: Command, execute: Execute): void {
  const command = addCommand(ingest, 'ohlcv', 'Daily bars from the market data API: what the lake has not.');
  addDates(command)
    .addOption(symbolsOption())
    .option('--force', 'fetch all of it again, and compare every bar')
    .addOption(lakeOption())
    .addOption(databaseOption())
    .addHelpText(
      'after',
      `${example(
        'batch-layer ingest ohlcv',
        'batch-layer ingest ohlcv --from 2024-01-01 --to 2024-12-31',
        'batch-layer ingest ohlcv --symbols AAPL,BRK.B --from 2015-01-01',
        'batch-layer ingest ohlcv --date 2025-11-19 --force',
      )}
${DATES_HELP}
${DATABASE_SINK_HELP}
${API_HELP}
MARKET_CALENDAR_OVERRIDES has days that are not as the exchange's rules say: 2027-01-08=closed,2026-12-24=13:00. EXCLUDED_SYMBOLS
has symbols to pass over, in the place of the exchanges' test symbols.`,
    )
    .action((options, command) =>
      execute(command, (context) =>
        withApi(context, (api) => {
          const { lake, db, symbols, force } = options;
          const store = openStore(lake);
          return withMirror(db, store, context, async (database) => {
            const fetched = await ingestOhlcv(store, api, {
              ...datesOf(options),
              ...settingsOf(process.env),
              ...(database && (await sinksOf(store, database, context))),
              symbols,
              force,
              ...context,
            });
            const result = { ...fetched, database: await reconcileAfter(store, database, { symbols, ...context }) };
            const { stored, unchanged, symbolsKnown, symbolsWithoutBars } = result;
            const done = symbols
              ? stored + unchanged + symbolsKnown + symbolsWithoutBars.length
              : result.sessions - result.sessionsMissing;
            const text = lines([describeOhlcv(result), ...describeReconciled(result.database)]);
            return { result, text, exitCode: exitCodeOf(result.missingCount, done) };
          });
        }),
      ),
    );
}

function addMeta(ingest: Command, execute: Execute): void {
  addCommand(ingest, 'meta', 'Names, listings, industries and sizes of all symbols, from the market data API.')
    .addOption(symbolsOption())
    .addOption(countOption('--max-calls <n>', 'calls of the API in all', 1).default(2000).env('META_MAX_CALLS'))
    .addOption(lakeOption())
    .addOption(databaseOption())
    .addHelpText(
      'after',
      `${example(
        'batch-layer ingest meta',
        'batch-layer ingest meta --symbols AAPL,BRK.B',
        'batch-layer ingest meta --max-calls 60',
      )}
The list of tickers comes whole. Details are a call a symbol: those that are missing first, then the oldest, as far as the calls
go; the next run goes on. A ticker keeps its past: who had it, from when to when. With --db the table symbol_metadata has the same.
${API_HELP}`,
    )
    .action((options, command) =>
      execute(command, (context) =>
        withApi(context, (api) => {
          const { lake, db, symbols, maxCalls } = options;
          const store = openStore(lake);
          return withMirror(db, store, context, async (database) => {
            const sink = database && metadataSink(database);
            const result = await ingestMeta(store, api, { symbols, maxCalls, sink, ...context });
            return {
              result,
              text: describeMeta(result),
              exitCode: exitCodeOf(result.failed.length, result.symbols, result.missing),
            };
          });
        }),
      ),
    );
}

function addFlatFiles(ingest: Command, execute: Execute): void {
  const command = addCommand(ingest, 'flatfiles', "Daily bars from the vendor's day files: what the lake has not.");
  addDates(command)
    .option('--force', 'read all of it again, and compare every bar')
    .addOption(lakeOption())
    .addOption(databaseOption())
    .addHelpText(
      'after',
      `${example('batch-layer ingest flatfiles', 'batch-layer ingest flatfiles --from 2020-01-01 --to 2020-12-31')}
${DATES_HELP}
${DATABASE_SINK_HELP}
The credentials for the vendor's bucket are FLATFILES_ACCESS_KEY_ID and FLATFILES_SECRET_ACCESS_KEY; FLATFILES_ENDPOINT is another
server than https://files.massive.com, FLATFILES_BUCKET another bucket than flatfiles.`,
    )
    .action((options, command) =>
      execute(command, (context) => {
        const { lake, db, force } = options;
        const store = openStore(lake);
        return withMirror(db, store, context, async (database): Promise<Outcome> => {
          const { exclude, overrides } = settingsOf(process.env);
          const source = flatFileSource(openFlatFiles(process.env), { exclude });
          const fetched = await ingestFrom(store, source, {
            ...datesOf(options),
            ...(database && (await sinksOf(store, database, context))),
            overrides,
            force,
            ...context,
          });
          const result = { ...fetched, database: await reconcileAfter(store, database, context) };
          const done = result.sessions - result.sessionsMissing;
          const text = lines([describeFetch(result), ...describeReconciled(result.database)]);
          return { result, text, exitCode: exitCodeOf(result.missingCount, done) };
        });
      }),
    );
}

async function sinksOf(store: ObjectStore, database: Database, context: Context) {
  return { sink: barSink(database), watermarks: await openWatermarks(store, database, context) };
}

function addDates(command: Command): Command {
  return command
    .addOption(dateOption('--date <date>', 'one session, YYYY-MM-DD').conflicts(['from', 'to', 'backfillDays']))
    .addOption(dateOption('--from <date>', 'the first session, YYYY-MM-DD').conflicts('backfillDays'))
    .addOption(dateOption('--to <date>', 'the last session; the last that is over where left out'))
    .addOption(backfillOption());
}

interface DateOptions {
  readonly date?: number;
  readonly from?: number;
  readonly to?: number;
  readonly backfillDays?: number;
}

function datesOf({ date, from, to, backfillDays }: DateOptions) {
  return { from: date ?? from, to: date ?? to, backfillDays };
}

function settingsOf({ MARKET_CALENDAR_OVERRIDES, EXCLUDED_SYMBOLS }: NodeJS.ProcessEnv) {
  return {
    overrides: parseCalendarOverrides(MARKET_CALENDAR_OVERRIDES ?? ''),
    exclude: EXCLUDED_SYMBOLS?.trim()
      ? EXCLUDED_SYMBOLS.split(',').map((symbol) => checkSymbol(symbol.trim()))
      : undefined,
  };
}

async function withApi(context: Context, work: (api: MarketApi) => Promise<Outcome>): Promise<Outcome> {
  const { POLYGON_BASE_URL, POLYGON_RATE_LIMIT } = process.env;
  const api = openMarketApi({
    apiKey: await marketApiKey(process.env, context.signal),
    baseUrl: POLYGON_BASE_URL || undefined,
    rateLimit: POLYGON_RATE_LIMIT ? parseRateLimit(POLYGON_RATE_LIMIT) : undefined,
  });
  try {
    return await work(api);
  } finally {
    await api.close();
  }
}

function openFlatFiles(env: NodeJS.ProcessEnv) {
  const { FLATFILES_ACCESS_KEY_ID: accessKeyId, FLATFILES_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (!accessKeyId || !secretAccessKey) {
    throw new BatchLayerError(
      'BadInput',
      "no credentials for the vendor's day files: set FLATFILES_ACCESS_KEY_ID and FLATFILES_SECRET_ACCESS_KEY",
    );
  }
  return s3Store({
    bucket: env.FLATFILES_BUCKET || 'flatfiles',
    endpoint: env.FLATFILES_ENDPOINT || 'https://files.massive.com',
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
}

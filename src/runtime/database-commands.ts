import { type Command, Option } from 'commander';
import {
  type Database,
  databaseWatermarks,
  migrateDatabase,
  type ReconcileOptions,
  type ReconcileResult,
  reconcile,
} from '../database/index.ts';
import { messageOf } from '../errors.ts';
import { lakeWatermarks, type ObjectStore, openStore, type WatermarkStore } from '../lake/index.ts';
import { addCommand, type Context, type Execute, example, exitCodeOf } from './command.ts';
import { DATABASE_HELP, databaseOption, withDatabase } from './database-options.ts';
import { lakeOption } from './options.ts';
import { count, failures, lines } from './result-text.ts';

/** `db migrate` and `db reconcile`. */
export function addDatabaseCommands(program: Command, execute: Execute): void {
  const db = program.command('db').description('The database: its schema, and what it has to have of the lake.');
  addMigrate(db, execute);
  addReconcile(db, execute);
}

function addMigrate(db: Command, execute: Execute): void {
  addCommand(
    db,
    'migrate',
    'Bring the schema of the database up to date. Run again, or twice at once, it does no harm.',
  )
    .addOption(new Option('--down', 'take back the last migration, with the tables it made and their rows'))
    .addOption(databaseOption())
    .addHelpText(
      'after',
      `${example('batch-layer db migrate', 'batch-layer db migrate --db postgresql://owner@127.0.0.1/market')}
${DATABASE_HELP}`,
    )
    .action((options, command) =>
      execute(command, (context) =>
        withDatabase(options.db, context, async (database) => {
          const migrations = await migrateDatabase(database, {
            direction: options.down ? 'down' : 'up',
            signal: context.signal,
          });
          const text = migrations.length > 0 ? lines(migrations) : 'nothing to do: the schema is up to date';
          return { result: { migrations }, text, exitCode: 0 };
        }),
      ),
    );
}

function addReconcile(db: Command, execute: Execute): void {
  addCommand(db, 'reconcile', 'Write to the database what it lacks of the bars in the lake, or has otherwise.')
    .addOption(databaseOption())
    .addOption(lakeOption())
    .addHelpText(
      'after',
      `${example('batch-layer db reconcile', 'batch-layer db reconcile --lake s3://bucket/prefix --db postgresql://writer@host/market')}
The database keeps the bars of three years and one month, and of older months that it has had since then, archived or not.
ingest ohlcv and ingest flatfiles reconcile by themselves, but for months that are archived.
${DATABASE_HELP}`,
    )
    .action((options, command) =>
      execute(command, (context) =>
        withDatabase(options.db, context, async (database) => {
          const result = await reconcile(openStore(options.lake), database, { ...context, archive: true });
          const { failed, symbols } = result;
          return {
            result,
            text: describeReconcile(result),
            exitCode: exitCodeOf(failed.length, symbols - failed.length),
          };
        }),
      ),
    );
}

/** What became of the database after a fetch: `null` where there is none. */
export type Reconciled = { readonly reconciled: ReconcileResult | null; readonly failure: string | null } | null;

/** Brings the database up to bronze; where it fails that is told, and the next run does it. */
export async function reconcileAfter(
  store: ObjectStore,
  database: Database | undefined,
  context: Context & Pick<ReconcileOptions, 'symbols'>,
): Promise<Reconciled> {
  if (!database) return null;
  try {
    return { reconciled: await reconcile(store, database, context), failure: null };
  } catch (error) {
    context.signal?.throwIfAborted();
    return { reconciled: null, failure: messageOf(error) };
  }
}

/** Watermarks in the database: one that has none yet begins with those of the lake. */
export async function openWatermarks(
  store: ObjectStore,
  database: Database,
  { signal }: Pick<Context, 'signal'>,
): Promise<WatermarkStore> {
  const watermarks = databaseWatermarks(database);
  try {
    if ((await watermarks.read({ signal })).size === 0) {
      await watermarks.advance([...(await lakeWatermarks(store).read({ signal })).values()], { signal });
    }
  } catch {
    // The fetch tells of it when it reads them.
    signal?.throwIfAborted();
  }
  return watermarks;
}

export function describeReconciled(outcome: Reconciled): string[] {
  if (outcome === null) return [];
  if (outcome.reconciled) return [describeReconcile(outcome.reconciled)];
  return [`the database could not be compared with the lake, the next run does it: ${outcome.failure}`];
}

function describeReconcile(result: ReconcileResult): string {
  const { from, symbols, bars, differing, written, extra, contested, failed } = result;
  return lines([
    `database: ${count(bars, 'bar')} of ${count(symbols, 'symbol')} since ${from} compared by month; ${count(differing)} symbol months differed, ${count(written, 'row')} written`,
    ...(extra > 0 ? [`${count(extra, 'row')} of the database that the lake has no bar of: left as they are`] : []),
    ...(contested > 0 ? [`${count(contested)} symbol months were changed by others meanwhile: run it again`] : []),
    ...failures(failed),
  ]);
}

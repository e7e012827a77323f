import { z } from 'zod';
import type { TableSchema } from '../../lake/columns.ts';
import type { ReferenceRow } from '../../lake/reference-table.ts';
import { parseSession } from '../../session.ts';
import { isSymbol } from '../../symbol.ts';
import { parseAnswer } from './answer.ts';
import { lenientAmount, lenientText } from './lenient.ts';
import type { ApiCall, MarketApi } from './market-api.ts';

/**
 * Columns of the table of splits, named as the API names them: `split_from` old shares became `split_to` new ones. Only a
 * split that was announced without a day has no `execution_date`. `historical_adjustment_factor` is the API's product of
 * this split and all later ones; nothing here is computed from it.
 */
export const SPLITS_SCHEMA: TableSchema = [
  { name: 'id', type: 'utf8' },
  { name: 'symbol', type: 'utf8' },
  { name: 'execution_date', type: 'date', nullable: true },
  { name: 'split_from', type: 'float64' },
  { name: 'split_to', type: 'float64' },
  { name: 'adjustment_type', type: 'utf8' },
  { name: 'historical_adjustment_factor', type: 'float64', nullable: true },
];

/** A row of a list of corporate actions, or why it is none. */
export type CheckedAction =
  | { readonly row: ReferenceRow }
  | {
      /** Of the row, as far as it has one. */
      readonly id: string;
      readonly reason: string;
    };

/** Rows in an answer: the most the API gives. */
const PAGE_ROWS = 5_000;
const MAX_SHOWN = 40;
const PAGE = z.object({ results: z.array(z.unknown()) });

/** What names an action. */
export const actionId = z.string().regex(/^[\x21-\x7e]{1,200}$/, 'expected 1 to 200 printable characters');
/** Whose action it is. */
export const actionSymbol = z.string().refine(isSymbol, 'is not a symbol');
/** The day an action counts from (days since 1970-01-01), −1 where it has none (yet). */
export const actionDay = z
  .string()
  .nullish()
  .transform((date, context) => {
    const session = date ? parseSession(date) : -1;
    if (session !== undefined) return session;
    context.addIssue({ code: 'custom', message: `"${date?.slice(0, MAX_SHOWN)}" is not a date: expected YYYY-MM-DD` });
    return z.NEVER;
  });

const shares = z.number().positive();

const SPLIT = z
  .object({
    id: actionId,
    ticker: actionSymbol,
    execution_date: actionDay,
    split_from: shares,
    split_to: shares,
    adjustment_type: lenientText,
    historical_adjustment_factor: lenientAmount,
  })
  .transform(
    ({ ticker, ...split }): ReferenceRow => ({
      ...split,
      symbol: ticker,
      historical_adjustment_factor: split.historical_adjustment_factor ?? Number.NaN,
    }),
  );

/**
 * All splits the API knows, announced ones too, page by page. How far back they go depends on the API key's plan.
 *
 * @throws BatchLayerError `Unavailable` where a page cannot be had: the list would be shorter than it is
 */
export function fetchSplits(api: MarketApi, call?: ApiCall): AsyncGenerator<readonly CheckedAction[]> {
  return fetchActions(api, '/stocks/v1/splits', SPLIT, call);
}

/** A whole list of corporate actions, its rows checked one by one: a wrong one does not fail the list. */
export async function* fetchActions(
  api: MarketApi,
  path: string,
  schema: z.ZodType<ReferenceRow>,
  call?: ApiCall,
): AsyncGenerator<readonly CheckedAction[]> {
  const read = (answer: unknown) => parseAnswer(PAGE, answer, path).results;
  // In one order: a list that is sorted anew between two pages would have rows twice, and others not at all.
  for await (const rows of api.pages(path, { limit: PAGE_ROWS, sort: 'ticker.asc' }, read, call)) {
    yield rows.map((row) => checkAction(schema, row));
  }
}

function checkAction(schema: z.ZodType<ReferenceRow>, row: unknown): CheckedAction {
  const parsed = schema.safeParse(row);
  if (parsed.success) return { row: parsed.data };
  const { id } = (row ?? {}) as { readonly id?: unknown };
  const [issue] = parsed.error.issues;
  const reason = [...(issue?.path ?? []), issue?.message].join(': ');
  return { id: typeof id === 'string' ? id.slice(0, MAX_SHOWN) : '', reason };
}

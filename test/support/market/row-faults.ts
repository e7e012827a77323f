import { compareSymbols } from '../../../src/symbol.ts';

/** A row as it goes over the wire: whatever it may hold. */
export type WireRow = Readonly<Record<string, unknown>>;

/** JSON knows no infinity, but a number too large for a double reads as one: what stands for it until it is text. */
const INFINITE = '@1e999@';
const DAY_MS = 86_400_000;

/** What may be wrong with a row, and what is sent in its place. */
const CHANGES = {
  'identical-duplicate': (row) => [row, row],
  'conflicting-duplicate': (row) => [row, { ...row, c: row.l, v: Number(row.v) + 100 }],
  /** The row is missing. */
  dropped: () => [],
  'zero-volume': (row) => [{ ...row, v: 0 }],
  'negative-volume': (row) => [{ ...row, v: -Number(row.v) }],
  /** Its time is of the day before. */
  'wrong-day': (row) => [{ ...row, t: Number(row.t) - DAY_MS }],
  'infinite-price': (row) => [{ ...row, c: INFINITE }],
  'missing-price': ({ c: _, ...row }) => [row],
  'null-price': (row) => [{ ...row, c: null }],
  'text-price': (row) => [{ ...row, c: String(row.c) }],
  'zero-price': (row) => [{ ...row, o: 0, l: 0 }],
  'negative-price': (row) => [{ ...row, c: -Number(row.c), l: -Number(row.c) }],
  /** The high is below the low. */
  'inconsistent-price': (row) => [{ ...row, h: Number(row.l) / 2 }],
} as const satisfies Readonly<Record<string, (row: WireRow) => readonly WireRow[]>>;

/** Rows beside the real ones, and what they are called. */
const EXTRA_SYMBOLS = {
  'bad-symbol': ['../x', 'A/B', 'A B', ''],
  'test-symbol': ['ZVZZT', 'ZWZZT', 'ZXZZT', 'ZBZZT', 'ZJZZT', 'ZTEST', 'ZTST', 'ZVZZC', 'ZXYZ.A', 'ZXIET'],
} as const;

export type RowFaultKind = keyof typeof CHANGES | keyof typeof EXTRA_SYMBOLS;
export const ROW_FAULT_KINDS = [...Object.keys(CHANGES), ...Object.keys(EXTRA_SYMBOLS)] as readonly RowFaultKind[];

export interface RowFault {
  readonly kind: RowFaultKind;
  /** All by default. */
  readonly sessions?: readonly number[];
  /** Whose rows change, or what the extra rows are called. Where they are not named, ranged answers stay as they are. */
  readonly tickers?: readonly string[];
  /** Where no tickers are named: so many rows of the session change, the first by symbol. One by default. */
  readonly count?: number;
}

/** Rows of a grouped answer, in order of symbol, with the faults of their session. */
export function spoilSession(rows: readonly WireRow[], session: number, faults: readonly RowFault[]): WireRow[] {
  return faults.filter(isIn(session)).reduce((before, fault) => spoil(before, fault), [...rows]);
}

/** The row of a ranged answer, with the faults that name its ticker. */
export function spoilRow(row: WireRow, ticker: string, session: number, faults: readonly RowFault[]): WireRow[] {
  const meant = faults.filter(isIn(session)).filter(({ tickers }) => tickers?.includes(ticker));
  return meant.reduce((rows, { kind }) => (isExtra(kind) ? rows : rows.flatMap(CHANGES[kind])), [row]);
}

/** The body as JSON text, infinities included. */
export function stringify(value: unknown): string {
  return JSON.stringify(value).replaceAll(`"${INFINITE}"`, '1e999');
}

function spoil(rows: WireRow[], { kind, tickers, count = 1 }: RowFault): WireRow[] {
  const model = rows[0];
  if (!model) return rows;
  if (isExtra(kind)) {
    const extra = (tickers ?? EXTRA_SYMBOLS[kind]).map((T) => ({ ...model, T }));
    return [...rows, ...extra].sort((a, b) => compareSymbols(String(a.T), String(b.T)));
  }
  const isMeant = (row: WireRow, i: number) => (tickers ? tickers.includes(String(row.T)) : i < count);
  return rows.flatMap((row, i) => (isMeant(row, i) ? CHANGES[kind](row) : [row]));
}

function isExtra(kind: RowFaultKind): kind is keyof typeof EXTRA_SYMBOLS {
  return kind in EXTRA_SYMBOLS;
}

function isIn(session: number) {
  return ({ sessions }: RowFault) => sessions?.includes(session) ?? true;
}

import type { ForeignColumn, Meaning } from '../../lake/foreign-columns.ts';
import { NUMBERS, type NumberName } from '../row-values.ts';

/** What a column of the export is for. */
export type DmsRole = 'symbol' | 'time' | 'interval' | NumberName;

/** A column that is read. */
export interface DmsColumn extends ForeignColumn {
  readonly role: DmsRole;
}

interface Expectation {
  readonly role: DmsRole;
  /** The first of these that is there. */
  readonly names: readonly string[];
  readonly kinds: readonly Meaning['kind'][];
  /** The types, for people. */
  readonly types: string;
  readonly isOptional: boolean;
}

/** Added by DMS: when the row was exported. Never the time of a bar. */
const BOOKKEEPING = 'timestamp';
/** Of the table, whose own `timestamp` DMS had to give another name. */
const BAR_TIME = 'timestamp_1';

const NUMBER = {
  kinds: ['float', 'integer', 'decimal', 'text'],
  types: 'DOUBLE, FLOAT, INTEGER, DECIMAL or STRING',
} as const;
const TEXT = { kinds: ['text'], types: 'STRING' } as const;
/** In the order they are decoded in: of rows that are passed over nothing is said. */
const EXPECTED: readonly Expectation[] = [
  { role: 'interval', names: ['interval_type', 'interval'], ...TEXT, isOptional: true },
  { role: 'symbol', names: ['symbol'], ...TEXT, isOptional: false },
  {
    role: 'time',
    names: [BAR_TIME],
    kinds: ['timestamp', 'int96', 'date', 'text'],
    types: 'TIMESTAMP, INT96, DATE or STRING',
    isOptional: false,
  },
  ...NUMBERS.map((name) => ({
    role: name,
    names: [name],
    ...NUMBER,
    isOptional: name === 'vwap' || name === 'trades',
  })),
];

/**
 * The columns to read among those of a file; others are passed over. Pure.
 *
 * @returns with all that is wrong, for people
 */
export function planColumns(columns: readonly ForeignColumn[]): {
  readonly columns: readonly DmsColumn[];
  readonly wrong: readonly string[];
} {
  const names = columns.map(({ name }) => name);
  const planned: DmsColumn[] = [];
  const [missing, wrong]: [string[], string[]] = [[], []];
  for (const { role, names: known, kinds, types, isOptional } of EXPECTED) {
    const name = known.find((one) => names.includes(one));
    const column = columns.find((one) => one.name === name);
    if (column === undefined) {
      if (!isOptional) missing.push(known[0]!);
      continue;
    }
    if (names.indexOf(column.name) !== names.lastIndexOf(column.name)) wrong.push(`column ${name} is there twice`);
    if (kinds.includes(column.meaning.kind)) planned.push({ ...column, role });
    else wrong.push(`column ${name} is ${column.type}: expected ${types}`);
  }
  if (missing.length > 0) wrong.unshift(`no column ${missing.join(', ')}: found ${names.join(', ') || 'none'}`);
  if (missing.includes(BAR_TIME) && names.includes(BOOKKEEPING)) {
    wrong.push(`${BOOKKEEPING} is DMS bookkeeping, the time of the export: the bar's time is expected in ${BAR_TIME}`);
  }
  return { columns: planned, wrong };
}

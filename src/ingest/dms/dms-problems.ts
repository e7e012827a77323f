import type { BetweenRowsKind } from '../packed-rows.ts';
import type { ProblemLog } from '../problem-log.ts';
import type { ValueFault } from '../row-values.ts';

/** Why a row of an export did not land; a `duplicate` did, by the row it is the same as. */
export type DmsProblemKind = 'bad_symbol' | 'bad_date' | ValueFault | Exclude<BetweenRowsKind, 'unsorted'>;

/** A row of an export that did not land. */
export interface DmsProblem {
  readonly kind: DmsProblemKind;
  /** The key of the file. */
  readonly file: string;
  /** Its number in the file, counted from 0, as DuckDB's `file_row_number` counts. */
  readonly row: number;
  readonly message: string;
}

export type DmsProblemLog = ProblemLog<DmsProblem>;

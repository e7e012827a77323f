import type { CsvProblemKind } from './csv-rows.ts';

/** A line that did not land, or (`unsorted`) a notice about one that did. */
export interface CsvProblem {
  readonly kind: CsvProblemKind;
  readonly file: string;
  /** Counted from 1, the header included. */
  readonly line: number;
  readonly message: string;
}

const MAX_OF_A_KIND = 1000;

/** Counts all problems and keeps the first 1,000 of each kind. */
export interface ProblemLog {
  readonly counts: Partial<Record<CsvProblemKind, number>>;
  readonly first: CsvProblem[];
  add(problem: CsvProblem): void;
}

export function createProblemLog(): ProblemLog {
  const log: ProblemLog = {
    counts: {},
    first: [],
    add(problem) {
      log.counts[problem.kind] = (log.counts[problem.kind] ?? 0) + 1;
      if (log.counts[problem.kind]! <= MAX_OF_A_KIND) log.first.push(problem);
    },
  };
  return log;
}

const MAX_OF_A_KIND = 1000;

/** Counts all problems and keeps the first 1,000 of each kind. */
export interface ProblemLog<P extends { readonly kind: string }> {
  readonly counts: Partial<Record<P['kind'], number>>;
  readonly first: P[];
  add(problem: P): void;
}

export function createProblemLog<P extends { readonly kind: string }>(): ProblemLog<P> {
  const counts: Partial<Record<string, number>> = {};
  const first: P[] = [];
  return {
    counts: counts as ProblemLog<P>['counts'],
    first,
    add(problem) {
      const count = (counts[problem.kind] ?? 0) + 1;
      counts[problem.kind] = count;
      if (count <= MAX_OF_A_KIND) first.push(problem);
    },
  };
}

import { move, transferableSymbol, valueSymbol } from 'piscina';
import { type GroupedSymbols, type GroupTask, groupSymbols as groupHere } from './group-symbols.ts';
import { type MadeMonth, type MonthTask, makeMonth } from './make-month.ts';

// What the threads of a pool do.

/** {@link groupHere} on the thread this file is loaded in. */
export function groupSymbols(task: GroupTask): GroupedSymbols {
  return groupHere(task);
}

/** {@link makeMonth} for each task, on the thread this file is loaded in; the bytes change hands without a copy. */
export function makeMonths(tasks: readonly MonthTask[]): readonly MadeMonth[] {
  const made = tasks.map(makeMonth);
  const buffers = made.flatMap(({ bytes }) => (bytes ? [bytes.buffer] : []));
  return move({ [valueSymbol]: made, [transferableSymbol]: buffers }) as unknown as readonly MadeMonth[];
}

import { move, transferableSymbol, valueSymbol } from 'piscina';
import { type GroupedSymbols, type GroupTask, groupSymbols as groupHere } from './group-symbols.ts';
import { type MadeMonth, type MonthTask, makeMonth as makeHere } from './make-month.ts';

// What the threads of a pool do.

/** {@link groupHere} on the thread this file is loaded in. */
export function groupSymbols(task: GroupTask): GroupedSymbols {
  return groupHere(task);
}

/** {@link makeHere} on the thread this file is loaded in; the bytes change hands without a copy. */
export function makeMonth(task: MonthTask): MadeMonth {
  const made = makeHere(task);
  if (!made.bytes) return made;
  return move({ [valueSymbol]: made, [transferableSymbol]: [made.bytes.buffer] }) as unknown as MadeMonth;
}

import { BatchLayerError } from './errors.ts';

/** @throws BatchLayerError `BadInput` unless a whole number ≥ `least` */
export function checkCount(name: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least) {
    throw new BatchLayerError('BadInput', `${name} is ${value}: expected a whole number ≥ ${least}`);
  }
}

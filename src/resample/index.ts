export { type Checkpoint, readCheckpoint } from './checkpoint.ts';
export { type Groups, groupVwap } from './groups.ts';
export { INTERVALS, openGroups, resampleBars } from './kernel.ts';
export { type ResampleOptions, type ResampleResult, resample } from './resample.ts';
export { resampleTransform } from './transform.ts';
export { type VerifyOptions, type VerifyResult, verify } from './verify.ts';
export type { IntervalResult } from './write-intervals.ts';

export { type CommandLine, runCommandLine } from './command-line.ts';
export { type DemoOptions, type DemoResult, runDemo } from './demo.ts';
export { type SyntheticMarket, syntheticMarket } from './synthetic-market.ts';

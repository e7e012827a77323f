export type { CsvProblem } from './csv-problems.ts';
export type { CsvProblemKind } from './csv-rows.ts';
export { type IngestCsvOptions, type IngestCsvResult, ingestCsv } from './ingest-csv.ts';

// The directions of imports (docs/architecture.md): pure parts know nothing of storage, storage nothing of jobs, jobs
// nothing of how they are run.
const PURE =
  '^src/(errors|progress|session|symbol|bars|adjust-bars|calendar|market-holidays|json|lower-bound|resample/(kernel|kernel-wasm|simd-kernel|reference-kernel|groups))[.]ts$';

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'pure-parts-import-pure-parts-only', severity: 'error', from: { path: PURE }, to: { pathNot: PURE } },
    {
      name: 'the-lake-knows-no-jobs',
      severity: 'error',
      from: { path: '^src/lake/' },
      to: { path: '^src/(ingest|runtime|resample)/', pathNot: PURE },
    },
    {
      name: 'jobs-know-no-runtime',
      severity: 'error',
      from: { path: '^src/(ingest|resample|database)/' },
      to: { path: '^src/runtime/' },
    },
    {
      name: 'the-lake-and-its-jobs-know-no-database',
      severity: 'error',
      from: { path: '^src/(lake|ingest|resample)/' },
      to: { path: '^src/database/|node_modules/(pg|pg-copy-streams|node-pg-migrate)/' },
    },
    {
      name: 'postgresql-stays-in-the-database-folder',
      severity: 'error',
      from: { pathNot: '^src/database/' },
      to: { path: 'node_modules/(pg|pg-copy-streams|node-pg-migrate)/' },
    },
    {
      name: 'ingest-and-resample-are-apart',
      severity: 'error',
      from: { path: '^src/ingest/' },
      to: { path: '^src/resample/', pathNot: PURE },
    },
    {
      name: 'resample-and-ingest-are-apart',
      severity: 'error',
      from: { path: '^src/resample/' },
      to: { path: '^src/ingest/' },
    },
    {
      name: 'one-file-imports-parquet-wasm',
      severity: 'error',
      from: { pathNot: '^src/lake/wasm[.]ts$' },
      to: { path: 'parquet-wasm' },
    },
    {
      name: 'aws-stays-in-the-s3-store-and-secrets',
      severity: 'error',
      from: { pathNot: '^src/(lake/s3-|runtime/secrets[.])' },
      to: { path: 'node_modules/@aws-sdk/' },
    },
    {
      name: 'one-file-sends-requests-to-the-api',
      severity: 'error',
      from: { pathNot: '^src/ingest/api/connection[.]ts$' },
      to: { path: 'node_modules/undici/' },
    },
    {
      name: 'the-command-line-stays-in-runtime',
      severity: 'error',
      from: { pathNot: '^src/runtime/' },
      to: { path: 'node_modules/(commander|cli-progress)/' },
    },
    {
      name: 'declared-dependencies-only',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev', 'unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    parser: 'swc',
    tsPreCompilationDeps: true,

    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};

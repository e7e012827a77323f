import { defineConfig } from 'vitest/config';

const s3Tests = 'test/**/*.s3.test.ts';
const postgresTests = 'test/**/*.pg.test.ts';
const bothTests = 'test/**/*.servers.test.ts';
const s3Server = 'test/support/s3/global-setup.ts';
const postgresServer = 'test/support/postgres/global-setup.ts';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    // Other work may have the cores: these end what hangs.
    testTimeout: process.env.SOAK === '1' ? 12 * 3_600_000 : 600_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000, interval: 5 } },
    // A database of whoever runs the tests is none of theirs.
    env: { DATABASE_URL: '', RDS_SECRET_ARN: '' },
    // Else the halves of the harness run one after the other where there are two cores.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/**/*.test.ts'], exclude: [s3Tests, postgresTests, bothTests] },
      },
      // The servers of such a project start only for a run that has a test of it.
      { extends: true, test: { name: 's3', include: [s3Tests], globalSetup: s3Server } },
      { extends: true, test: { name: 'postgres', include: [postgresTests], globalSetup: postgresServer } },
      { extends: true, test: { name: 'servers', include: [bothTests], globalSetup: [s3Server, postgresServer] } },
    ],
  },
});

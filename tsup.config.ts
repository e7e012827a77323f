import { cp } from 'node:fs/promises';
import { defineConfig } from 'tsup';

export default defineConfig({
  entry: [
    'src/index.ts',
    'src/database/index.ts',
    'src/ingest/index.ts',
    'src/lake/index.ts',
    'src/resample/index.ts',
    'src/resample/resample-worker.ts',
    'src/runtime/index.ts',
    'src/runtime/cli.ts',
  ],
  format: 'esm',
  target: 'node22',
  platform: 'node',
  splitting: true,
  sourcemap: true,
  clean: true,
  // tsc emits the declarations: tsup's own `dts` does not run under TypeScript 7.
  dts: false,
  // What is read, or run, as a file.
  async onSuccess() {
    await cp('src/database/migrations', 'dist/database/migrations', { recursive: true });
    await cp('src/runtime/postgres.sh', 'dist/runtime/postgres.sh');
  },
});

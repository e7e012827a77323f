import type { TestProject } from 'vitest/node';
import { type S3Connection, startS3 } from './server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server that all tests of a run share. */
    readonly s3: S3Connection;
  }
}

/** Starts the server of a run; what it returns stops it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { endpoint, region, credentials, stop } = await startS3();
  project.provide('s3', { endpoint, region, credentials });
  return stop;
}

import { z } from 'zod';
import { BatchLayerError } from '../../errors.ts';

/**
 * An answer as its schema has it.
 *
 * @throws BatchLayerError `Unavailable` where it is something else: half an answer, or that of a proxy
 */
export function parseAnswer<T>(schema: z.ZodType<T>, answer: unknown, place: string): T {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new BatchLayerError(
    'Unavailable',
    `${place}: the answer is not what the API documents: ${z.prettifyError(parsed.error)}`,
  );
}

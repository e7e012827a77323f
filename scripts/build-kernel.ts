// npm run build:kernel: assembles kernel.wat into a module of TypeScript, so that no file has to be found at run time.
import { readFile, writeFile } from 'node:fs/promises';
import loadWabt from 'wabt';

const source = new URL('../src/resample/kernel.wat', import.meta.url);
/** What is made of it. */
export const TARGET = new URL('../src/resample/kernel-wasm.ts', import.meta.url);

/** The text of `kernel-wasm.ts` as it has to be. */
export async function kernelModule(): Promise<string> {
  const wabt = await loadWabt();
  const parsed = wabt.parseWat('kernel.wat', await readFile(source), { simd: true });
  try {
    parsed.validate();
    const base64 = Buffer.from(parsed.toBinary({}).buffer).toString('base64');
    return `// Generated of kernel.wat by \`npm run build:kernel\`.\n\n/** kernel.wat assembled, in base64. */\nexport const KERNEL_WASM =\n  '${base64}';\n`;
  } finally {
    parsed.destroy();
  }
}

if (import.meta.main) await writeFile(TARGET, await kernelModule());

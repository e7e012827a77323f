import { Presets, SingleBar } from 'cli-progress';
import type { OnProgress } from '../progress.ts';

/**
 * Shows progress as a bar, one a step, on a terminal; says nothing where the stream is none.
 */
export function showProgress(stream: NodeJS.WriteStream): { readonly onProgress: OnProgress; stop(): void } {
  let bar: SingleBar | undefined;
  let current = '';
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    stop,
    onProgress({ step, done, total = 0 }) {
      if (!stream.isTTY) return;
      if (!bar || step !== current) {
        stop();
        current = step;
        const format =
          total > 0 ? `${step.padEnd(12)} {bar} {value}/{total}  {eta_formatted}` : `${step.padEnd(12)} {value}`;
        bar = new SingleBar(
          { format, stream, hideCursor: true, clearOnComplete: true, fps: 5 },
          Presets.shades_classic,
        );
        bar.start(total, done);
      }
      if (total > 0) bar.setTotal(total);
      bar.update(done);
    },
  };
}

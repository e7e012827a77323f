import type { FetchedSession } from './session-bars.ts';

/** Where the bars of whole sessions come from: the market data API, or the vendor's day files. */
export interface BarSource {
  /** Short, for the ledger. */
  readonly name: string;
  /**
   * All bars of a session.
   *
   * @param call `mayBeEmpty`: the session is long over, so that having no bars is an answer
   * @throws BatchLayerError `Unavailable` where they are not there yet, `NotEntitled`; `BadInput` where no call would do better
   */
  fetchSession(
    session: number,
    call: { readonly mayBeEmpty: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<FetchedSession>;
}

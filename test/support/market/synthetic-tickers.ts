import { formatSession } from '../../../src/session.ts';
import { chance, hashText, mix } from './hash.ts';
import type { ReplayTicker } from './replay-market.ts';

/** Real names that break what treats them as words, numbers, devices, or alike in another case. */
export const ODD_NAMES = [
  'TRUE',
  'NAN',
  'INF',
  'ON',
  'NULL',
  'CON',
  'BRK.B',
  'CFGpE',
  'BAC.WS.A',
  'AAPW',
  'AAPw',
] as const;

const INDUSTRIES = [
  ['3571', 'ELECTRONIC COMPUTERS'],
  ['6021', 'NATIONAL COMMERCIAL BANKS'],
  ['2834', 'PHARMACEUTICAL PREPARATIONS'],
] as const;

/** `count` names in the order of symbols, the odd ones first to be taken. */
export function symbolNames(count: number): readonly string[] {
  const names = new Set<string>(ODD_NAMES.slice(0, count));
  for (let i = 0; names.size < count; i++) {
    const letters = [17_576, 676, 26, 1].map((unit) => String.fromCharCode(65 + (Math.floor(i / unit) % 26))).join('');
    names.add(i % 43 === 42 ? `${letters}.B` : i % 97 === 96 ? `${letters}w` : letters);
  }
  return [...names].sort();
}

/** Reference data of a symbol; funds have neither industry nor market capitalization. */
export function replayTicker(
  ticker: string,
  seed: number,
  { listed, delisted }: { readonly listed: number; readonly delisted: number | undefined },
): ReplayTicker {
  const hash = mix(hashText(ticker), seed) >>> 0;
  const type = typeOf(ticker, chance(hash, 20));
  const code = hash.toString(36).toUpperCase().padStart(7, '0');
  const shares = 1_000_000 + (hash % 1_000_000_000);
  const [sic_code, sic_description] = INDUSTRIES[hash % INDUSTRIES.length]!;
  return {
    ticker,
    name: `${ticker} ${type === 'ETF' ? 'Fund' : 'Holdings, Inc.'}`,
    market: 'stocks',
    locale: 'us',
    active: delisted === undefined,
    currency_name: 'usd',
    type,
    primary_exchange: ['XNYS', 'XNAS', 'ARCX'][hash % 3]!,
    last_updated_utc: '2026-01-02T07:05:33.291Z',
    // The vendor does not have it for every security.
    ...(hash % 10 === 3 ? {} : { composite_figi: `BBG00${code}`, share_class_figi: `BBG0S${code}` }),
    ...(type === 'ETF' ? {} : { cik: String(hash % 2_000_000).padStart(10, '0'), sic_code, sic_description }),
    ...(type === 'CS'
      ? {
          market_cap: shares * (3 + (hash % 180)),
          total_employees: 1 + (hash % 90_000),
          homepage_url: `https://www.${ticker.toLowerCase()}.example`,
        }
      : {}),
    share_class_shares_outstanding: shares,
    weighted_shares_outstanding: shares,
    round_lot: 100,
    list_date: formatSession(listed),
    ...(delisted === undefined ? {} : { delisted_utc: `${formatSession(delisted)}T04:00:00Z` }),
  };
}

function typeOf(ticker: string, chosen: number): string {
  if (ticker.includes('.WS') || ticker.endsWith('w')) return 'WARRANT';
  if (ticker.includes('p')) return 'PFD';
  return chosen < 0.75 ? 'CS' : chosen < 0.93 ? 'ETF' : 'ADRC';
}

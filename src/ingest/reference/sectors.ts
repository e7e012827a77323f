// Divisions of the Standard Industrial Classification, by the first two digits of a code (its major group): the manual of
// 1987, https://www.osha.gov/data/sic-manual. The SEC's list, https://www.sec.gov/search-filings/standard-industrial-classification-sic-code-list,
// takes its codes from there. OSHA has 99 under Public Administration; the manual has a division of its own for it, and it
// is where the SEC has shell companies.
const DIVISIONS: readonly (readonly [first: number, last: number, name: string])[] = [
  [1, 9, 'Agriculture, Forestry, and Fishing'],
  [10, 14, 'Mining'],
  [15, 17, 'Construction'],
  [20, 39, 'Manufacturing'],
  [40, 49, 'Transportation, Communications, Electric, Gas, and Sanitary Services'],
  [50, 51, 'Wholesale Trade'],
  [52, 59, 'Retail Trade'],
  [60, 67, 'Finance, Insurance, and Real Estate'],
  [70, 89, 'Services'],
  [91, 97, 'Public Administration'],
  [99, 99, 'Nonclassifiable Establishments'],
];

/**
 * The division that a SIC code of four digits belongs to, or '' where there is none.
 *
 * @example sectorOf('3571') // 'Manufacturing'
 */
export function sectorOf(sicCode: string): string {
  const group = Number(sicCode.slice(0, 2));
  return DIVISIONS.find(([first, last]) => first <= group && group <= last)?.[2] ?? '';
}

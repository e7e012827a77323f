import { expect, test } from 'vitest';
import { sectorOf } from '../../../src/ingest/reference/sectors.ts';

test.each([
  ['0100', 'Agriculture, Forestry, and Fishing'],
  ['0971', 'Agriculture, Forestry, and Fishing'],
  ['1000', 'Mining'],
  ['1499', 'Mining'],
  ['1500', 'Construction'],
  ['2000', 'Manufacturing'],
  ['3999', 'Manufacturing'],
  ['4911', 'Transportation, Communications, Electric, Gas, and Sanitary Services'],
  ['5199', 'Wholesale Trade'],
  ['5200', 'Retail Trade'],
  ['6770', 'Finance, Insurance, and Real Estate'],
  ['7372', 'Services'],
  ['8999', 'Services'],
  ['9721', 'Public Administration'],
  ['9995', 'Nonclassifiable Establishments'],
  ['1800', ''],
  ['9000', ''],
  ['0000', ''],
  ['', ''],
])('the code %j is of the division %j', (code, sector) => {
  expect(sectorOf(code)).toBe(sector);
});

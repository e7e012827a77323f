import { describe, expect, test } from 'vitest';
import { parseJson } from '../src/json.ts';

describe('parseJson', () => {
  test('gives what JSON.parse gives', () => {
    const text = '{"a":[1,-0,1.5,null,true,"\\ud83d\\ude00"],"toString":{"é":""}}';
    expect(parseJson(text)).toStrictEqual(JSON.parse(text));
  });

  test.each([
    ['a key that schemas pass over', '{"a":{"__proto__":{"polluted":1}}}'],
    ['the same key, escaped', '{"\\u005f_proto__":1}'],
    ['half a character', '["\\ud83d"]'],
    ['the other half, in a key', '{"x\\ude00":1}'],
    ['no JSON', '{"a":NaN}'],
  ])('refuses %s', (_what, text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });
});
